//! Holds `watches.rs` to what it promises.

use serde_json::{Value, json};

use super::*;
use crate::tenant_control_plane::control_plane::Images;

fn store(name: &str, change: &Value) -> Arc<DataStore> {
    let part = |key: &str| json!({ "secretReference": { "name": name, "namespace": "stores", "keyPath": key } });
    let mut object = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": { "name": name, "uid": name, "generation": 1 },
        "spec": { "driver": "etcd", "endpoints": ["a:2379"], "tlsConfig": {
            "certificateAuthority": { "certificate": part("ca.crt"), "privateKey": part("ca.key") },
            "clientCertificate": { "certificate": part("tls.crt"), "privateKey": part("tls.key") },
        } },
        "status": { "ready": true },
    });
    json_patch::merge(&mut object, change);
    Arc::new(serde_json::from_value(object).unwrap())
}

fn tenant(name: &str, store: Option<&str>) -> Arc<TenantControlPlane> {
    let mut tcp = TenantControlPlane::new(name, crate::api::TenantControlPlaneSpec::default());
    tcp.metadata.namespace = Some("tenants".to_owned());
    tcp.spec.data_store = store.map(str::to_owned);
    Arc::new(tcp)
}

fn secret(namespace: &str, name: &str) -> PartialObjectMeta<Secret> {
    serde_json::from_value(json!({ "metadata": { "namespace": namespace, "name": name } })).unwrap()
}

#[test]
fn a_rotated_secret_concerns_the_tenants_of_every_store_that_refers_to_it() {
    let apart = json!({ "spec": { "tlsConfig": { "clientCertificate": { "privateKey": {
        "secretReference": { "name": "apart", "namespace": "stores" },
    } } } } });
    let stores = [store("default", &json!({})), store("fast", &apart)];
    let tenants = [tenant("a", None), tenant("b", Some("fast"))];
    let defaults = Defaults {
        data_store: Some("default".to_owned()),
        images: Images {
            konnectivity_server: String::new(),
            konnectivity_agent: String::new(),
        },
    };
    let woken = |namespace: &str, name: &str| {
        let stores = stores_reached_with(&secret(namespace, name), &stores);
        let found = users(&tenants, &stores, &defaults).into_iter();
        found.map(|tcp| tcp.name).collect::<Vec<_>>()
    };
    assert_eq!(woken("stores", "default"), ["a"]);
    assert_eq!(woken("stores", "fast"), ["b"]);
    assert_eq!(woken("stores", "apart"), ["b"]);
    assert_eq!(woken("elsewhere", "default"), Vec::<String>::new());
    assert_eq!(woken("stores", "other"), Vec::<String>::new());
}

#[test]
fn a_store_wakes_its_tenants_by_its_spec_and_readiness_and_not_by_its_usage() {
    let print = |change: &Value| store_fingerprint(&store("default", change));
    let held = print(&json!({}));
    assert_eq!(
        print(&json!({ "status": { "usedBy": ["tenants/a"] } })),
        held
    );
    assert_ne!(print(&json!({ "status": { "ready": false } })), held);
    assert_ne!(print(&json!({ "metadata": { "generation": 2 } })), held);
    assert_ne!(print(&json!({ "metadata": { "uid": "other" } })), held);
}
