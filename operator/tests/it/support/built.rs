//! Control planes built through the operator's own steps.

use kube::ResourceExt;
use operator::api::TenantControlPlane;
use operator::api::data_store::Driver;
use operator::labels;
use operator::objects::{Desired, Objects};
use operator::pki::KeyPair;
use operator::tenant_control_plane::control_plane::{Defaults, Images};
use operator::tenant_control_plane::observed::{DataStoreAccess, Observed, ObservedDataStore};
use operator::tenant_control_plane::{build, issue, validate};
use operator::validate::Limits;
use serde_json::json;

use super::secure_etcd::Authority;

/// UID of every control plane here; hence also its schema and user.
pub(crate) const UID: &str = "5c2a9e4e-0d3b-4c55-9f0a-6b1d3f0c7a11";
/// Its namespace.
pub(crate) const NAMESPACE: &str = "tenants";

/// Everything of a control plane whose load balancer answered and whose store is the given one.
pub(crate) fn built(
    mut object: TenantControlPlane,
    endpoint: &str,
    authority: &Authority,
) -> Objects<Desired> {
    object.metadata.namespace = Some(NAMESPACE.to_owned());
    object.metadata.uid = Some(UID.to_owned());
    let images = Images {
        konnectivity_server: "example.org/warren:1".to_owned(),
        konnectivity_agent: "example.org/warren:1".to_owned(),
    };
    let defaults = Defaults {
        data_store: Some("default".to_owned()),
        images,
    };
    let service = json!({
        "metadata": {"name": object.name_any(), "labels": labels::selector(&object.name_any())},
        "spec": {"clusterIP": "10.200.0.7"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    });
    let observed = Observed {
        service: Some(serde_json::from_value(service).unwrap()),
        data_store: ObservedDataStore::Found(DataStoreAccess {
            name: "default".to_owned(),
            driver: Driver::Etcd,
            endpoints: vec![endpoint.to_owned()],
            authority: Some(KeyPair::new(&authority.certificate, &authority.key)),
        }),
        ..Observed::default()
    };
    let control_plane = validate(&object, &observed, &defaults, &Limits::default()).unwrap();
    let pki = issue(&control_plane, &observed, jiff::Timestamp::now()).unwrap();
    build(&control_plane, pki.as_ref())
}
