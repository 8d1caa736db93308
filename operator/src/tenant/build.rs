//! Step 4 inside a tenant: from validated inputs to every object the tenant is to have. Pure.
//!
//! The order is the order of applying: grants before those who need them. What an addon leaves out, [`is_optional`]
//! lets the next step remove.

pub mod core_dns;
pub mod tunnel_server;

mod agent_args;
mod bootstrap;
mod cluster_info;
mod config_map;
mod kube_proxy;
mod kubeadm_config;
mod kubelet_config;
mod pod;
mod rbac;
mod tunnel_agent;

use super::inputs::TenantInputs;
use super::object::{Key, TenantObject};

/// The namespace of what only the system reads.
pub const SYSTEM: &str = "kube-system";
/// The namespace of what anybody may read.
pub const PUBLIC: &str = "kube-public";

/// The name of konnectivity-agent: workload, service account, labels.
pub const AGENT: &str = tunnel_agent::NAME;

/// Why a tenant's objects cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The user's patch does not fit the kubelet's configuration.
    #[error(
        "spec.kubernetes.kubelet.configurationJSONPatches does not apply to the KubeletConfiguration: \
         correct or remove the operation that its cause names"
    )]
    KubeletPatch(#[from] json_patch::PatchError),
}

/// Every object of the tenant.
pub fn objects(inputs: &TenantInputs) -> Result<Vec<TenantObject>, BuildError> {
    let mut objects = bootstrap::objects();
    objects.extend(kubeadm_config::objects(inputs));
    objects.extend(kubelet_config::objects(inputs)?);
    objects.extend(cluster_info::objects(inputs));
    if let Some(agent) = &inputs.addons.konnectivity {
        objects.extend(tunnel_server::objects());
        objects.extend(tunnel_agent::objects(inputs, agent));
    }
    if let Some(image) = &inputs.addons.kube_proxy {
        objects.extend(kube_proxy::objects(inputs, image));
    }
    if let Some(image) = &inputs.addons.core_dns {
        objects.extend(core_dns::objects(inputs, image));
    }
    Ok(objects)
}

/// Whether an object that carries our label belongs to an addon, so that it may be removed when nobody wants it.
///
/// The label alone is no proof: administrators of a tenant may put it on anything of theirs.
pub fn is_optional(key: &Key) -> bool {
    let Key {
        kind,
        namespace,
        name,
    } = key;
    match (kind.as_str(), namespace.as_str()) {
        ("DaemonSet", SYSTEM) => [tunnel_agent::NAME, kube_proxy::NAME].contains(&name.as_str()),
        ("Deployment", SYSTEM) => [tunnel_agent::NAME, core_dns::NAME].contains(&name.as_str()),
        ("ServiceAccount", SYSTEM) => {
            [tunnel_agent::NAME, kube_proxy::NAME, core_dns::NAME].contains(&name.as_str())
        }
        ("ConfigMap", SYSTEM) => [kube_proxy::NAME, core_dns::NAME].contains(&name.as_str()),
        ("Service", SYSTEM) => name == core_dns::SERVICE,
        ("Role" | "RoleBinding", SYSTEM) => [
            tunnel_agent::NAME,
            tunnel_server::IDENTITY,
            kube_proxy::NAME,
        ]
        .contains(&name.as_str()),
        ("ClusterRole", "") => name == core_dns::ROLE,
        ("ClusterRoleBinding", "") => {
            [tunnel_server::IDENTITY, kube_proxy::BINDING, core_dns::ROLE].contains(&name.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
