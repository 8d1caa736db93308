//! Labels, annotations and finalizers: the ones Kamaji's users select, script and monitor by.
//!
//! Three labels are on every object made for a tenant control plane. Only the name selects pods: a Deployment's
//! selector cannot be changed in place, and one that Kamaji made must stay adoptable.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Says to which project an object belongs; the value is [`PROJECT_VALUE`].
pub const PROJECT: &str = "kamaji.clastix.io/project";
/// The value of [`PROJECT`].
pub const PROJECT_VALUE: &str = "kamaji";
/// The name of the `TenantControlPlane`.
pub const NAME: &str = "kamaji.clastix.io/name";
/// Which part of the control plane an object is.
pub const COMPONENT: &str = "kamaji.clastix.io/component";
/// On leaf Secrets: [`LIFECYCLE_X509`] or [`LIFECYCLE_KUBECONFIG`]. Authorities do not carry it.
pub const LIFECYCLE: &str = "kamaji.clastix.io/certificate_lifecycle_controller";
/// The Secret holds a bare certificate that expires.
pub const LIFECYCLE_X509: &str = "x509";
/// The Secret holds a kubeconfig whose certificate expires.
pub const LIFECYCLE_KUBECONFIG: &str = "kubeconfig";
/// On Secrets of the kubeconfig generator, which are not ours to prune.
pub const MANAGED_BY: &str = "kamaji.clastix.io/managed-by";

/// Component of the pod template.
pub const COMPONENT_DEPLOYMENT: &str = "deployment";
/// Component of the Service.
pub const COMPONENT_SERVICE: &str = "service";
/// Component of the `PodDisruptionBudget`.
pub const COMPONENT_DISRUPTION_BUDGET: &str = "pod-disruption-budget";

/// On the custom resource: reconciling stops, deletion included.
pub const PAUSED: &str = "kamaji.clastix.io/paused";
/// On the custom resource: which key of the admin Secret the operator and the Cluster API provider use.
pub const KUBECONFIG_SECRET_KEY: &str = "kamaji.clastix.io/kubeconfig-secret-key";
/// On a Secret with a leaf: empty asks for renewal, the operator answers with the time it did so.
pub const ROTATE: &str = "certs.kamaji.clastix.io/rotate";
/// On Secrets and `ConfigMaps`: digest of their data.
pub const CHECKSUM: &str = "kamaji.clastix.io/checksum";
/// On the Deployment: digest of the extra arguments that kube-apiserver's stand for. Kamaji starts from none when it differs.
pub const API_SERVER_ARGS: &str = "kube-apiserver.kamaji.clastix.io/args";
/// Prefix of the pod template's annotations that name an input which running processes do not re-read.
pub const INPUT_PREFIX: &str = "component.kamaji.clastix.io";

/// On the custom resource: the tenant's data is to be dropped before it goes.
pub const FINALIZER: &str = "finalizer.kamaji.clastix.io";
/// On the custom resource, left by Kamaji: its per-tenant manager is to be stopped.
pub const FINALIZER_SOOT: &str = "finalizer.kamaji.clastix.io/soot";
/// On the Secret with the data store's credentials, left by Kamaji.
pub const FINALIZER_DATA_STORE_SECRET: &str = "finalizer.kamaji.clastix.io/datastore-secret";
/// On a `DataStore` that somebody uses.
pub const FINALIZER_DATA_STORE: &str = "kamaji.clastix.io/TenantControlPlane";

/// The labels of one object of the tenant control plane `name`.
pub fn of(name: &str, component: &str) -> BTreeMap<String, String> {
    [
        (PROJECT, PROJECT_VALUE),
        (NAME, name),
        (COMPONENT, component),
    ]
    .into_iter()
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .collect()
}

/// What selects the pods of the tenant control plane `name`.
pub fn selector(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(NAME.to_owned(), name.to_owned())])
}

/// [`selector`] in the form workloads and budgets take.
pub fn label_selector(name: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector(name)),
        match_expressions: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_carries_the_selector() {
        let labels = of("alpha", COMPONENT_SERVICE);
        assert!(
            selector("alpha")
                .iter()
                .all(|(label, value)| labels.get(label) == Some(value))
        );
        assert_eq!(labels.len(), 3);
    }
}
