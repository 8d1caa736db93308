//! Who uses a store: in, its name and every tenant control plane; out, `namespace/name` of those that keep, or are
//! going to keep, their state in it; and which stores are one. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt as _;

use crate::api::{DataStore, TenantControlPlane};
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

/// Whether the tenant uses one of these stores.
pub fn uses(tcp: &TenantControlPlane, names: &BTreeSet<String>, defaults: &Defaults) -> bool {
    let mut used = stores(tcp, defaults).into_iter().flatten();
    used.any(|name| names.contains(name))
}

/// The stores of a tenant, and those that are the same under another name: they have an endpoint in common.
pub fn stores_with_aliases(
    tcp: &TenantControlPlane,
    all: &[Arc<DataStore>],
    defaults: &Defaults,
) -> BTreeSet<String> {
    let used = stores(tcp, defaults).into_iter().flatten();
    let mut names: BTreeSet<String> = used.map(str::to_owned).collect();
    let own = all.iter().filter(|store| names.contains(&store.name_any()));
    let endpoints: BTreeSet<&str> = own
        .flat_map(|store| &store.spec.endpoints)
        .map(String::as_str)
        .collect();
    let is_shared = |store: &&Arc<DataStore>| {
        let mut theirs = store.spec.endpoints.iter();
        theirs.any(|endpoint| endpoints.contains(endpoint.as_str()))
    };
    let aliases = all.iter().filter(is_shared);
    names.extend(aliases.map(|store| store.name_any()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DataStoreSpec;
    use crate::api::data_store::Driver;
    use crate::tenant_control_plane::control_plane::Images;

    fn tenant(name: &str, store: Option<&str>) -> Arc<TenantControlPlane> {
        let mut tcp = TenantControlPlane::new(name, crate::api::TenantControlPlaneSpec::default());
        tcp.metadata.namespace = Some("tenants".into());
        tcp.spec.data_store = store.map(str::to_owned);
        Arc::new(tcp)
    }

    fn defaults() -> Defaults {
        Defaults {
            data_store: Some("default".into()),
            images: Images {
                konnectivity_server: String::new(),
                konnectivity_agent: String::new(),
            },
        }
    }

    fn store(name: &str, endpoints: &[&str]) -> Arc<DataStore> {
        let spec = DataStoreSpec {
            driver: Driver::Etcd,
            endpoints: endpoints.iter().map(|it| (*it).to_owned()).collect(),
            basic_auth: None,
            tls_config: None,
        };
        Arc::new(DataStore::new(name, spec))
    }

    #[test]
    fn stores_with_an_endpoint_in_common_are_one() {
        let all = [
            store("default", &["a:2379", "b:2379"]),
            store("alias", &["c:2379", "b:2379"]),
            store("alias-of-alias", &["c:2379"]),
            store("other", &["d:2379"]),
        ];
        let of = |tcp: &TenantControlPlane| {
            let names = stores_with_aliases(tcp, &all, &defaults());
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&tenant("a", None)), "alias default");
        assert_eq!(of(&tenant("a", Some("other"))), "other");
        assert_eq!(
            of(&tenant("a", Some("unseen"))),
            "unseen",
            "a store that was not seen yet is itself"
        );
        let mut moving = TenantControlPlane::clone(&tenant("a", Some("other")));
        moving.status = serde_json::from_value(
            serde_json::json!({ "storage": { "dataStoreName": "default" } }),
        )
        .unwrap();
        assert_eq!(of(&moving), "alias default other");
        let names = stores_with_aliases(&moving, &all, &defaults());
        assert!(uses(&tenant("b", None), &names, &defaults()));
        assert!(uses(&tenant("b", Some("alias")), &names, &defaults()));
        assert!(!uses(
            &tenant("b", Some("alias-of-alias")),
            &names,
            &defaults()
        ));
    }

    #[test]
    fn a_store_is_used_by_those_who_name_it_and_the_default_by_those_who_name_none() {
        let defaults = defaults();
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
