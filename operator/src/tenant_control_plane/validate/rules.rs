//! The rule that needs more than the custom resource: names that others hold.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::tenant_control_plane::addons::DEFAULT_SERVER_IMAGE;
use crate::api::{Reason, TenantControlPlane};
use crate::labels;
use crate::names::{ConfigMapName, SecretName};
use crate::validate::Violation;

use crate::tenant_control_plane::control_plane::TunnelImage;
use crate::tenant_control_plane::observed::Observed;
use crate::tenant_control_plane::ownership::Holder;

/// Every mistake that was found, at least one, and the word for them in conditions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// `InvalidSpec`, or `NameTaken`.
    pub reason: Reason,
    /// The mistakes.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.violations.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

/// What another controller keeps is not ours to take. A Secret or a `ConfigMap` that nobody controls is adopted by its
/// name, which is long enough to be meant: somebody restored it. A Service, Deployment or budget has the bare name of
/// the tenant, as a stranger's may have, and must carry the tenant's label too; so must the Service of the peers, whose
/// name may be another tenant's.
pub(super) fn names_taken(
    tenant_control_plane: &TenantControlPlane,
    observed: &Observed,
) -> Vec<Violation> {
    let uid = tenant_control_plane
        .metadata
        .uid
        .as_deref()
        .unwrap_or_default();
    let tenant = tenant_control_plane
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let secrets = SecretName::ALL
        .iter()
        .filter_map(|name| observed.secrets.get(name));
    let config_maps = ConfigMapName::ALL
        .iter()
        .filter_map(|name| observed.config_maps.get(name));
    let service = observed
        .service
        .as_ref()
        .map(|it| ("Service", &it.metadata));
    let peers = observed.peers.as_ref();
    let peers = peers
        .filter(|_| wants_peers(tenant_control_plane))
        .map(|it| ("Service", &it.metadata));
    let deployment = observed
        .deployment
        .as_ref()
        .map(|it| ("Deployment", &it.metadata));
    let budget = observed
        .disruption_budget
        .as_ref()
        .map(|it| ("PodDisruptionBudget", &it.metadata));
    let named = secrets
        .map(|secret| ("Secret", &secret.metadata))
        .chain(config_maps.map(|config_map| ("ConfigMap", &config_map.metadata)))
        .filter(|(_, metadata)| Holder::of(metadata, uid, tenant) != Holder::Unmarked);
    [service, peers, deployment, budget]
        .into_iter()
        .flatten()
        .chain(named)
        .filter_map(|(kind, metadata)| {
            taken(kind, metadata, tenant, Holder::of(metadata, uid, tenant))
        })
        .chain(other_pods(observed))
        .collect()
}

/// Whether the Service of the peers will be made.
fn wants_peers(tenant_control_plane: &TenantControlPlane) -> bool {
    let addon = tenant_control_plane.spec.addons.konnectivity.as_ref();
    addon.is_some_and(|addon| TunnelImage::means_ours(&addon.server.image, DEFAULT_SERVER_IMAGE))
}

/// A selector can never change, so a Deployment that selects other pods is not one of a control plane.
fn other_pods(observed: &Observed) -> Option<Violation> {
    let deployment = observed.deployment.as_ref()?;
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let selector = &deployment.spec.as_ref()?.selector;
    (*selector != labels::label_selector(name)).then(|| Violation {
        field: "metadata.name".to_owned(),
        value: name.to_owned(),
        message: format!(
            "is taken: Deployment {name} selects other pods than those of a control plane; delete it, or give one of \
             both another name"
        ),
    })
}

fn taken(kind: &str, metadata: &ObjectMeta, tenant: &str, holder: Holder<'_>) -> Option<Violation> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let message = match holder {
        Holder::Ours | Holder::Orphan => return None,
        Holder::Unmarked => format!(
            "is taken: {kind} {name} was made by somebody else; delete it, or give one of both another name. If it is \
             this tenant's, label it {}={tenant}",
            labels::NAME
        ),
        Holder::Other(controller) => format!(
            "is taken: {kind} {name} belongs to {} {}; delete it, or give one of both another name",
            controller.kind, controller.name
        ),
    };
    Some(Violation {
        field: "metadata.name".to_owned(),
        value: name.to_owned(),
        message,
    })
}
