//! Whole control planes, built from manifests: what stands in the objects, and what must never.

mod fields;
mod peers;
mod pods;

use std::path::Path;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::labels;
use crate::objects::{Desired, Objects};
use crate::tenant_control_plane::build;
use crate::tenant_control_plane::fixtures::{
    DOCUMENTED, built, documented_with, manifest, observed, validated,
};
use crate::tenant_control_plane::observed::{Observed, ObservedDataStore};

fn body<'a>(objects: &'a Objects<Desired>, kind: &str) -> &'a Value {
    &objects.find(kind, "konnectivity-example").unwrap().body
}

/// Puts words in place of what differs from run to run.
fn redacted(mut body: Value) -> Value {
    if body["kind"] == "Secret"
        && let Some(data) = body["data"].as_object_mut()
    {
        for text in data.values_mut() {
            *text = json!("<redacted>");
        }
    }
    for pointer in [
        "/metadata/annotations",
        "/spec/template/metadata/annotations",
    ] {
        let annotations = body.pointer_mut(pointer).and_then(Value::as_object_mut);
        for (name, value) in annotations.into_iter().flatten() {
            if name.ends_with("/checksum") || name.starts_with("component.kamaji") {
                *value = json!("<checksum>");
            }
        }
    }
    body
}

#[test]
fn every_example_builds_what_its_snapshot_shows() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut paths: Vec<_> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    assert!(paths.len() >= 4, "examples are missing: {paths:?}");
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let object = manifest(&std::fs::read_to_string(&path).unwrap());
        let mut observed = observed();
        let service = observed.service.as_mut().unwrap();
        service.metadata.labels = Some(labels::selector(&object.name_any()));
        let objects = built(&object, &observed);
        let bodies = objects
            .present()
            .iter()
            .map(|object| redacted(object.body.clone()));
        let absent: Vec<_> = objects.absent().iter().map(ToString::to_string).collect();
        insta::assert_yaml_snapshot!(name, (bodies.collect::<Vec<_>>(), absent));
    }
}

#[test]
fn before_the_endpoint_is_known_there_is_a_service_and_nothing_else() {
    let control_plane = validated(&manifest(DOCUMENTED), &Observed::default());
    let objects = build(&control_plane, None);
    let kinds: Vec<_> = objects
        .present()
        .iter()
        .map(|object| object.reference.api.kind.as_str())
        .collect();
    assert_eq!(kinds, ["Service"]);
    assert!(
        objects.absent().is_empty(),
        "nothing is removed while so little is known"
    );
}

#[test]
fn a_store_that_cannot_be_used_leaves_running_pods_and_their_secrets_alone() {
    let known = Observed {
        data_store: ObservedDataStore::Missing,
        ..observed()
    };
    let objects = built(&manifest(DOCUMENTED), &known);
    assert!(objects.find("Deployment", "konnectivity-example").is_none());
    assert!(
        objects
            .find("Secret", "konnectivity-example-datastore-config")
            .is_none()
    );
    assert!(objects.find("Secret", "konnectivity-example-ca").is_some());
    assert!(objects.absent().is_empty());
}

#[test]
fn pods_come_after_all_they_read() {
    let objects = built(&manifest(DOCUMENTED), &observed());
    let kinds: Vec<_> = objects
        .present()
        .iter()
        .map(|object| object.reference.api.kind.as_str())
        .collect();
    let pods = kinds.iter().position(|kind| *kind == "Deployment").unwrap();
    assert!(kinds.iter().rposition(|kind| *kind == "Secret").unwrap() < pods);
    assert!(kinds.iter().rposition(|kind| *kind == "ConfigMap").unwrap() < pods);
}

#[test]
fn the_egress_selection_names_both_ways_and_never_the_store() {
    let selections = |server: Value| {
        let spec = json!({"addons": {"konnectivity": {"server": server}}});
        let objects = built(&documented_with(&spec), &observed());
        let name = "konnectivity-example-konnectivity-egress-selector-configuration";
        let text = &objects.find("ConfigMap", name).unwrap().body["data"]["egress-selector-configuration.yaml"];
        let configuration: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        let selections = configuration["egressSelections"].as_array().unwrap();
        let read = |selection: &Value| {
            format!(
                "{} {}",
                selection["name"], selection["connection"]["proxyProtocol"]
            )
        };
        selections.iter().map(read).collect::<Vec<_>>()
    };
    let default = [
        "\"cluster\" \"HTTPConnect\"",
        "\"controlplane\" \"HTTPConnect\"",
    ];
    assert_eq!(selections(json!({})), default);
    let chosen = selections(json!({"egressProtocol": "GRPC", "controlPlaneEgress": "Direct"}));
    assert_eq!(
        chosen,
        ["\"cluster\" \"GRPC\"", "\"controlplane\" \"Direct\""]
    );
}

#[test]
fn a_service_of_each_type_has_the_fields_that_type_may_have() {
    let service = |spec: Value| {
        let objects = built(&documented_with(&spec), &observed());
        body(&objects, "Service")["spec"].clone()
    };
    let balanced = service(json!({
        "controlPlane": {"service": {"allocateLoadBalancerNodePorts": false}},
        "networkProfile": {"loadBalancerSourceRanges": ["192.0.2.0/24"], "loadBalancerClass": "lab.example.org/lb"},
    }));
    assert_eq!(balanced["allocateLoadBalancerNodePorts"], false);
    assert_eq!(balanced["loadBalancerClass"], "lab.example.org/lb");
    assert_eq!(
        balanced["loadBalancerSourceRanges"],
        json!(["192.0.2.0/24"])
    );

    let node_port = service(json!({
        "controlPlane": {"service": {"serviceType": "NodePort", "additionalPorts": [
            {"name": "audit", "port": 9000, "targetPort": "audit"},
        ]}},
        "networkProfile": {"port": 30443, "address": "192.0.2.1", "allowAddressAsExternalIP": true},
        "addons": {"konnectivity": {"server": {"port": 30132}}},
    }));
    let read = |port: &Value| format!("{} {} {}", port["name"], port["port"], port["nodePort"]);
    let ports: Vec<_> = node_port["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(read)
        .collect();
    let expected = [
        "\"kube-apiserver\" 30443 30443",
        "\"konnectivity-server\" 30132 30132",
        "\"audit\" 9000 null",
    ];
    assert_eq!(ports, expected);
    assert_eq!(node_port["externalIPs"], json!(["192.0.2.1"]));
    assert_eq!(node_port["allocateLoadBalancerNodePorts"], Value::Null);
}

#[test]
fn without_the_addon_nothing_of_the_tunnel_is_left() {
    let mut object = manifest(DOCUMENTED);
    object.spec.addons.konnectivity = None;
    let objects = built(&object, &observed());
    let all = format!("{:?}", objects.present());
    assert!(
        !all.contains("konnectivity-server") && !all.contains("egress"),
        "{all}"
    );
    let absent: Vec<_> = objects.absent().iter().map(ToString::to_string).collect();
    let expected = [
        "ConfigMap tenants/konnectivity-example-konnectivity-egress-selector-configuration",
        "Secret tenants/konnectivity-example-konnectivity-certificate",
        "Secret tenants/konnectivity-example-konnectivity-kubeconfig",
        "Secret tenants/konnectivity-example-konnectivity-peer-certificate",
        "Service tenants/konnectivity-example-konnectivity-peers",
    ];
    assert_eq!(absent, expected);
}

#[test]
fn every_object_carries_our_labels_and_its_owner() {
    let objects = built(&manifest(DOCUMENTED), &observed());
    for object in objects.present() {
        let metadata = &object.body["metadata"];
        assert_eq!(
            metadata["labels"]["kamaji.clastix.io/name"], "konnectivity-example",
            "{}",
            object.reference
        );
        assert_eq!(
            metadata["ownerReferences"][0]["controller"], true,
            "{}",
            object.reference
        );
    }
}
