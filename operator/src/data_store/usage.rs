//! Who uses a store: in, its name and every tenant control plane; out, `namespace/name` of those that keep, or are
//! going to keep, their state in it. Pure.

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::api::TenantControlPlane;
use crate::tenant_control_plane::control_plane::Defaults;
use crate::tenant_control_plane::observed::data_store_name;

/// The tenants that use the store `name`, sorted. One that is being deleted uses it until it is gone; one whose state
/// lies here while its spec names another store uses both.
pub fn used_by(
    name: &str,
    tenants: &[Arc<TenantControlPlane>],
    defaults: &Defaults,
) -> Vec<String> {
    let mut users: Vec<String> = tenants
        .iter()
        .filter(|tcp| stores(tcp, defaults).contains(&Some(name)))
        .map(|tcp| format!("{}/{}", tcp.namespace().unwrap_or_default(), tcp.name_any()))
        .collect();
    users.sort();
    users
}

/// The store a tenant asks for, and the one where its state is.
pub fn stores<'a>(tcp: &'a TenantControlPlane, defaults: &'a Defaults) -> [Option<&'a str>; 2] {
    let in_use = tcp
        .status
        .as_ref()
        .and_then(|status| status.storage.as_ref())
        .and_then(|storage| storage.data_store_name.as_deref());
    [data_store_name(tcp, defaults), in_use]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant_control_plane::control_plane::Images;

    fn tenant(name: &str, store: Option<&str>) -> Arc<TenantControlPlane> {
        let mut tcp = TenantControlPlane::new(name, crate::api::TenantControlPlaneSpec::default());
        tcp.metadata.namespace = Some("tenants".into());
        tcp.spec.data_store = store.map(str::to_owned);
        Arc::new(tcp)
    }

    #[test]
    fn a_store_is_used_by_those_who_name_it_and_the_default_by_those_who_name_none() {
        let defaults = Defaults {
            data_store: Some("default".into()),
            images: Images {
                konnectivity_server: String::new(),
                konnectivity_agent: String::new(),
            },
        };
        let tenants = [
            tenant("b", Some("fast")),
            tenant("c", None),
            tenant("a", Some("fast")),
        ];
        assert_eq!(
            used_by("fast", &tenants, &defaults),
            ["tenants/a", "tenants/b"]
        );
        assert_eq!(used_by("default", &tenants, &defaults), ["tenants/c"]);
    }
}
