//! The CEL rules of the definitions, evaluated without an API server.

use std::collections::BTreeMap;

use kube::core::cel::Validator;
use serde_json::{Value, json};

use super::apply_all;
use crate::support::{examples, manifest, read, schema_of};

/// A manifest as `kubectl` sends it, with one edit.
fn edited(edit: &str) -> Value {
    let mut object: Value = manifest(&read("examples/tenant-control-plane.yaml"));
    let patch: Value = manifest(edit);
    json_patch::merge(&mut object, &patch);
    object
}

fn refusals(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let schema = schema_of(kind);
    let object = apply_all(&schema, object);
    let old = old.map(|old| apply_all(&schema, old));
    match Validator::new().validate(&schema, &object, old.as_ref()) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_vec()
            .into_iter()
            .map(|error| error.message)
            .collect(),
    }
}

#[test]
fn rules_let_good_manifests_pass() {
    for (name, text) in examples() {
        let object: Value = manifest(&text);
        assert_eq!(
            refusals("TenantControlPlane", &object, None),
            [""; 0],
            "{name}"
        );
        assert_eq!(
            refusals("TenantControlPlane", &object, Some(&object)),
            [""; 0],
            "{name} again"
        );
    }
    for edit in [
        "{spec: {addons: {konnectivity: {}}}}",
        "{spec: {addons: null, networkProfile: null}}",
        "{spec: {networkProfile: {advertiseAddress: ''}}}",
        "{spec: {networkProfile: {serviceCidrs: [10.96.0.0/16, 'fd00::/108']}}}",
        "{spec: {addons: {konnectivity: {agent: {mode: DaemonSet, replicas: 0}}}}}",
        "{spec: {controlPlane: {service: {allocateLoadBalancerNodePorts: false}}}}",
    ] {
        assert_eq!(
            refusals("TenantControlPlane", &edited(edit), None),
            [""; 0],
            "{edit}"
        );
    }
}

#[test]
fn rules_refuse_bad_manifests_with_a_remedy() {
    let cases = [
        (
            "{spec: {addons: {konnectivity: {agent: {replicas: 2}}}}}",
            "set mode to Deployment",
        ),
        (
            "{spec: {addons: {konnectivity: {agent: {mode: Deployment, replicas: 0}}}}}",
            "set 1 or more",
        ),
        (
            "{spec: {controlPlane: {ingress: {}, gateway: {}}}}",
            "remove the other",
        ),
        (
            "{spec: {networkProfile: {advertiseAddress: somewhere}}}",
            "not an IP address",
        ),
        (
            "{spec: {networkProfile: {serviceCidr: 10.96.0.0}}}",
            "networkProfile.serviceCidr: not a CIDR",
        ),
        (
            "{spec: {networkProfile: {podCidr: nowhere}}}",
            "networkProfile.podCidr: not a CIDR",
        ),
        (
            "{spec: {networkProfile: {serviceCidrs: [10.96.0.0/16, x]}}}",
            "serviceCidrs: not every entry",
        ),
        (
            "{spec: {networkProfile: {podCidrs: [x]}}}",
            "podCidrs: not every entry",
        ),
        (
            "{spec: {networkProfile: {loadBalancerSourceRanges: [x]}}}",
            "such as 192.0.2.0/24",
        ),
        (
            "{spec: {controlPlane: {service: {serviceType: ClusterIP}}, networkProfile: {loadBalancerSourceRanges: [192.0.2.0/24]}}}",
            "loadBalancerSourceRanges: only for a load balancer",
        ),
        (
            "{spec: {controlPlane: {service: {serviceType: NodePort}}, networkProfile: {loadBalancerClass: x}}}",
            "loadBalancerClass: only for a load balancer",
        ),
        (
            "{spec: {controlPlane: {service: {serviceType: NodePort, allocateLoadBalancerNodePorts: true}}}}",
            "allocateLoadBalancerNodePorts: only for a load balancer",
        ),
    ];
    for (edit, expected) in cases {
        let found = refusals("TenantControlPlane", &edited(edit), None);
        assert!(
            found.iter().any(|message| message.contains(expected)),
            "{edit}: {found:?}"
        );
    }
}

/// Before, after, and what is said.
const BAD_EDITS: &[(&str, &str, &str)] = &[
    (
        "{spec: {dataStore: a}}",
        "{spec: {}}",
        "dataStore: cannot be unset",
    ),
    (
        "{spec: {dataStoreSchema: a}}",
        "{spec: {}}",
        "dataStoreSchema: cannot be unset",
    ),
    (
        "{spec: {dataStoreUsername: a}}",
        "{spec: {}}",
        "dataStoreUsername: cannot be unset",
    ),
    (
        "{spec: {dataStoreSchema: a}}",
        "{spec: {dataStoreSchema: b}}",
        "dataStoreSchema: cannot change",
    ),
    (
        "{spec: {dataStoreUsername: a}}",
        "{spec: {dataStoreUsername: b}}",
        "dataStoreUsername: cannot change",
    ),
    (
        "{}",
        "{spec: {networkProfile: {clusterDomain: other.local}}}",
        "clusterDomain: cannot change",
    ),
    (
        "{spec: {networkProfile: {loadBalancerClass: a}}}",
        "{spec: {networkProfile: {loadBalancerClass: b}}}",
        "loadBalancerClass: cannot change",
    ),
    (
        "{}",
        "{spec: {networkProfile: {loadBalancerClass: b}}}",
        "neither be added to nor removed",
    ),
    (
        "{spec: {networkProfile: {loadBalancerClass: b}}}",
        "{spec: {networkProfile: null}}",
        "neither be added to nor removed",
    ),
];

#[test]
fn rules_refuse_bad_edits_with_a_remedy() {
    for (before, after, expected) in BAD_EDITS {
        let found = refusals("TenantControlPlane", &edited(after), Some(&edited(before)));
        assert!(
            found.iter().any(|message| message.contains(expected)),
            "{before} → {after}: {found:?}"
        );
    }
    let to_class = "{spec: {networkProfile: {loadBalancerClass: b}}}";
    let from_cluster_ip = edited("{spec: {controlPlane: {service: {serviceType: ClusterIP}}}}");
    assert_eq!(
        refusals(
            "TenantControlPlane",
            &edited(to_class),
            Some(&from_cluster_ip)
        ),
        [""; 0]
    );
}

/// A store with this and an endpoint.
fn store(spec: &Value) -> Value {
    let mut whole = json!({"endpoints": ["etcd:2379"]});
    json_patch::merge(&mut whole, spec);
    json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": {"name": "s"},
        "spec": whole,
    })
}

fn reference() -> Value {
    json!({"secretReference": {"name": "s", "namespace": "n", "keyPath": "k"}})
}

fn pair() -> Value {
    json!({"certificate": reference(), "privateKey": reference()})
}

/// Stores that lack something, and what is said.
fn incomplete_stores() -> BTreeMap<&'static str, (Value, &'static str)> {
    let (reference, pair) = (reference(), pair());
    BTreeMap::from([
        (
            "etcd without anything",
            (
                json!({"driver": "etcd"}),
                "certificateAuthority.privateKey: etcd needs it",
            ),
        ),
        (
            "etcd without the authority's key",
            (
                json!({"driver": "etcd", "tlsConfig": {"certificateAuthority": {"certificate": reference}, "clientCertificate": pair}}),
                "certificateAuthority.privateKey: etcd needs it",
            ),
        ),
        (
            "etcd without a client",
            (
                json!({"driver": "etcd", "tlsConfig": {"certificateAuthority": pair}}),
                "clientCertificate.certificate: etcd needs it",
            ),
        ),
        (
            "PostgreSQL without anything",
            (
                json!({"driver": "PostgreSQL"}),
                "this driver needs one of both",
            ),
        ),
        (
            "MySQL with an empty user",
            (
                json!({"driver": "MySQL", "basicAuth": {"username": {}, "password": reference}}),
                "basicAuth.username: empty",
            ),
        ),
        (
            "MySQL with an empty password",
            (
                json!({"driver": "MySQL", "basicAuth": {"username": reference, "password": {}}}),
                "basicAuth.password: empty",
            ),
        ),
        (
            "NATS with an empty client certificate",
            (
                json!({"driver": "NATS", "tlsConfig": {"certificateAuthority": pair, "clientCertificate": {"certificate": {}, "privateKey": reference}}}),
                "clientCertificate.certificate: empty",
            ),
        ),
    ])
}

#[test]
fn rules_of_stores_ask_for_what_the_driver_needs() {
    let (reference, pair) = (reference(), pair());
    for (name, (spec, expected)) in incomplete_stores() {
        let found = refusals("DataStore", &store(&spec), None);
        assert!(
            found.iter().any(|message| message.contains(expected)),
            "{name}: {found:?}"
        );
    }
    let good = store(
        &json!({"driver": "etcd", "tlsConfig": {"certificateAuthority": pair, "clientCertificate": pair}}),
    );
    assert_eq!(refusals("DataStore", &good, None), [""; 0]);
    let other = store(
        &json!({"driver": "MySQL", "basicAuth": {"username": reference, "password": reference}}),
    );
    assert_eq!(refusals("DataStore", &other, None), [""; 0]);
    assert!(
        refusals("DataStore", &other, Some(&good))
            .iter()
            .any(|message| message.contains("driver: cannot change"))
    );
}
