//! From manifests and observations to control planes.

use serde_json::json;

use crate::api::Reason;
use crate::api::tenant_control_plane::ControlPlaneEgress;
use crate::names::SecretName;
use crate::pki::KeyPair;
use crate::tenant_control_plane::control_plane::{Endpoint, Stage, Storage, TunnelImage};
use crate::tenant_control_plane::fixtures::{
    DOCUMENTED, defaults, documented_with, manifest, observed, service, store, validated,
};
use crate::tenant_control_plane::observed::{Observed, ObservedDataStore};
use crate::tenant_control_plane::validate;
use crate::validate::Limits;

fn endpoint(spec: &serde_json::Value, ingress: &serde_json::Value) -> Option<Endpoint> {
    let observed = Observed {
        service: Some(service(ingress)),
        ..observed()
    };
    let stage = validated(&documented_with(spec), &observed).stage;
    stage.endpoint().cloned()
}

#[test]
fn the_documented_manifest_is_completed_by_defaults() {
    let control_plane = validated(&manifest(DOCUMENTED), &observed());
    assert_eq!(control_plane.pods.replicas, 2);
    assert_eq!(control_plane.tenancy.data_store.as_deref(), Some("default"));
    assert_eq!(
        control_plane.tenancy.schema,
        "5c2a9e4e-0d3b-4c55-9f0a-6b1d3f0c7a11"
    );
    assert_eq!(control_plane.tenancy.user, control_plane.tenancy.schema);
    assert_eq!(
        control_plane.network.dns_service_ips,
        ["10.96.0.10".parse::<std::net::IpAddr>().unwrap()]
    );
    let tunnel = control_plane.tunnel.unwrap();
    assert_eq!(
        tunnel.image,
        TunnelImage::Ours(defaults().images.konnectivity_server)
    );
    assert_eq!(tunnel.control_plane_egress, ControlPlaneEgress::Tunnel);
}

#[test]
fn a_control_plane_is_exposing_until_somebody_knows_its_address() {
    let none = validate(
        &manifest(DOCUMENTED),
        &Observed::default(),
        &defaults(),
        &Limits::default(),
    );
    assert_eq!(none.unwrap().stage, Stage::Exposing);
    assert_eq!(endpoint(&json!({}), &json!([])), None);

    let by_address = endpoint(&json!({}), &json!([{"ip": "192.0.2.10"}])).unwrap();
    assert_eq!(by_address.reported(), "192.0.2.10:6443");
    assert_eq!(by_address.advertise.to_string(), "192.0.2.10");
}

#[test]
fn a_load_balancer_known_by_name_is_enough() {
    let by_name = endpoint(&json!({}), &json!([{"hostname": "lb.example.org"}])).unwrap();
    assert_eq!(by_name.authority(), "lb.example.org:6443");
    assert_eq!(
        by_name.advertise.to_string(),
        "10.200.0.7",
        "a name cannot be advertised"
    );
}

#[test]
fn a_stated_address_wins_and_an_advertised_one_is_what_clients_dial() {
    let spec =
        json!({"networkProfile": {"address": "203.0.113.1", "advertiseAddress": "198.51.100.1"}});
    let endpoint = endpoint(&spec, &json!([{"ip": "192.0.2.10"}])).unwrap();
    assert_eq!(endpoint.reported(), "203.0.113.1:6443");
    assert_eq!(endpoint.authority(), "198.51.100.1:6443");
    assert_eq!(endpoint.advertise.to_string(), "198.51.100.1");
}

#[test]
fn without_a_load_balancer_the_service_is_the_endpoint() {
    let spec = json!({
        "controlPlane": {"service": {"serviceType": "ClusterIP"}},
    });
    assert_eq!(
        endpoint(&spec, &json!([])).unwrap().reported(),
        "10.200.0.7:6443"
    );
}

#[test]
fn names_of_the_tenants_data_are_taken_from_where_they_are_set_up() {
    let mut object =
        documented_with(&json!({"dataStoreSchema": "stated", "dataStoreUsername": "stated"}));
    assert_eq!(validated(&object, &observed()).tenancy.schema, "stated");

    let mut known = observed();
    let secret = json!({"data": {"DB_SCHEMA": "c3RvcmVk", "DB_USER": "c3RvcmVk"}});
    known.secrets.insert(
        SecretName::DataStoreConfig,
        serde_json::from_value(secret).unwrap(),
    );
    object.spec.data_store_schema = None;
    object.spec.data_store_username = None;
    assert_eq!(validated(&object, &known).tenancy.user, "stored");

    let status = json!({"storage": {"setup": {"schema": "in-status", "user": "in-status"}}});
    object.status = Some(serde_json::from_value(status).unwrap());
    assert_eq!(validated(&object, &known).tenancy.schema, "in-status");
}

#[test]
fn a_store_that_cannot_be_used_is_waited_for() {
    for data_store in [
        ObservedDataStore::Missing,
        ObservedDataStore::Unusable("the Secret warren/etcd is missing".to_owned()),
    ] {
        let observed = Observed {
            data_store,
            ..observed()
        };
        assert_eq!(
            validated(&manifest(DOCUMENTED), &observed).storage,
            Storage::Waiting
        );
    }
    let usable = Observed {
        data_store: store(KeyPair::new("certificate", "key")),
        ..observed()
    };
    let Storage::Etcd(etcd) = validated(&manifest(DOCUMENTED), &usable).storage else {
        unreachable!("the store can be used");
    };
    assert_eq!(etcd.endpoints, ["https://etcd-0.etcd.warren.svc:2379"]);
}

#[test]
fn objects_of_others_are_not_taken() {
    let mut observed = observed();
    let owner = json!([{"apiVersion": "v1", "kind": "Database", "name": "db", "uid": "1", "controller": true}]);
    let metadata = json!({"metadata": {"name": "konnectivity-example", "ownerReferences": owner}});
    observed.service = Some(serde_json::from_value(metadata).unwrap());
    let refused = validate(
        &manifest(DOCUMENTED),
        &observed,
        &defaults(),
        &Limits::default(),
    )
    .unwrap_err();
    assert_eq!(refused.reason, Reason::NameTaken);
    assert!(
        refused
            .to_string()
            .contains("Service konnectivity-example belongs to Database db"),
        "{refused}"
    );
}

#[test]
fn a_plain_service_of_that_name_is_taken_only_with_the_label() {
    let mut observed = observed();
    let mut service = observed.service.take().unwrap();
    observed.service = Some(service.clone());
    validated(&manifest(DOCUMENTED), &observed);

    service.metadata.labels = None;
    observed.service = Some(service);
    let refused = validate(
        &manifest(DOCUMENTED),
        &observed,
        &defaults(),
        &Limits::default(),
    )
    .unwrap_err();
    assert_eq!(refused.reason, Reason::NameTaken);
    let text = refused.to_string();
    assert!(
        text.contains("label it kamaji.clastix.io/name=konnectivity-example"),
        "{text}"
    );
}

#[test]
fn a_service_of_the_peers_name_is_taken_only_with_the_label_and_matters_only_where_there_are_peers()
{
    let mut observed = observed();
    let service = |labels| json!({"metadata": {"name": "konnectivity-example-konnectivity-peers", "labels": labels}});
    let ours = service(json!({"kamaji.clastix.io/name": "konnectivity-example"}));
    observed.peers = Some(serde_json::from_value(ours).unwrap());
    validated(&manifest(DOCUMENTED), &observed);

    observed.peers = Some(serde_json::from_value(service(json!(null))).unwrap());
    let without = |konnectivity| json!({"addons": {"konnectivity": konnectivity}});
    let other = json!({"server": {"image": "example.org/server"}});
    for spec in [without(json!(null)), without(other)] {
        validated(&documented_with(&spec), &observed);
    }
    let refused = validate(
        &manifest(DOCUMENTED),
        &observed,
        &defaults(),
        &Limits::default(),
    )
    .unwrap_err();
    assert_eq!(refused.reason, Reason::NameTaken);
    let text = refused.to_string();
    assert!(
        text.contains("Service konnectivity-example-konnectivity-peers was made by somebody else")
            && text.ends_with("label it kamaji.clastix.io/name=konnectivity-example"),
        "{text}"
    );
}

#[test]
fn a_deployment_of_other_pods_is_not_taken() {
    let mut observed = observed();
    let deployment = |selector: serde_json::Value| {
        let object = json!({
            "metadata": {
                "name": "konnectivity-example",
                "labels": {"kamaji.clastix.io/name": "konnectivity-example"},
            },
            "spec": {"selector": {"matchLabels": selector}, "template": {}},
        });
        Some(serde_json::from_value(object).unwrap())
    };
    observed.deployment = deployment(json!({"kamaji.clastix.io/name": "konnectivity-example"}));
    validated(&manifest(DOCUMENTED), &observed);

    observed.deployment = deployment(json!({"app": "web"}));
    let refused = validate(
        &manifest(DOCUMENTED),
        &observed,
        &defaults(),
        &Limits::default(),
    )
    .unwrap_err();
    assert_eq!(refused.reason, Reason::NameTaken);
    assert!(
        refused.to_string().contains("selects other pods"),
        "{refused}"
    );
}

#[test]
fn objects_that_nobody_controls_are_adopted() {
    let mut observed = observed();
    let secret = json!({"metadata": {"name": "konnectivity-example-ca"}});
    observed.secrets.insert(
        SecretName::ClusterAuthority,
        serde_json::from_value(secret).unwrap(),
    );
    validated(&manifest(DOCUMENTED), &observed);
}

#[test]
fn every_mistake_of_the_manifest_is_told_at_once() {
    let object = documented_with(&json!({
        "kubernetes": {"version": "1.33"},
        "networkProfile": {"address": "nowhere"},
    }));
    let refused = validate(&object, &observed(), &defaults(), &Limits::default()).unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidSpec);
    let text = refused.to_string();
    assert!(
        text.contains("spec.kubernetes.version") && text.contains("spec.networkProfile.address"),
        "{text}"
    );
}

#[test]
fn another_image_is_taken_literally_and_versioned() {
    let object = documented_with(
        &json!({"addons": {"konnectivity": {"server": {"image": "example.org/server"}}}}),
    );
    let image = validated(&object, &observed()).tunnel.unwrap().image;
    assert_eq!(
        image,
        TunnelImage::Literal("example.org/server:v0.33.0".to_owned())
    );

    let server = json!({"image": "example.org/server", "version": "v0.34.1"});
    let object = documented_with(&json!({"addons": {"konnectivity": {"server": server}}}));
    let image = validated(&object, &observed()).tunnel.unwrap().image;
    assert_eq!(
        image,
        TunnelImage::Literal("example.org/server:v0.34.1".to_owned())
    );
}
