//! How konnectivity-servers of one tenant find each other, and that only ours are told to.

use serde_json::{Value, json};

use crate::objects::{Desired, Objects};
use crate::tenant_control_plane::fixtures::{built, documented_with, observed};

const SERVICE: &str = "konnectivity-example-konnectivity-peers";
const SECRET: &str = "konnectivity-example-konnectivity-peer-certificate";

fn built_with(spec: &Value) -> Objects<Desired> {
    built(&documented_with(spec), &observed())
}

#[test]
fn their_service_names_every_pod_before_it_is_ready_and_no_address() {
    let objects = built_with(&json!({}));
    let service = &objects.find("Service", SERVICE).unwrap().body;
    let spec = &service["spec"];
    assert_eq!(spec["clusterIP"], "None");
    assert_eq!(spec["publishNotReadyAddresses"], true);
    let pods = &objects
        .find("Deployment", "konnectivity-example")
        .unwrap()
        .body["spec"]["selector"]["matchLabels"];
    assert_eq!(&spec["selector"], pods);
    let port =
        json!({"name": "konnectivity-peer", "port": 8135, "targetPort": 8135, "protocol": "TCP"});
    assert_eq!(spec["ports"], json!([port]));
    assert_eq!(
        service["metadata"]["labels"]["kamaji.clastix.io/component"],
        "konnectivity-peers"
    );
}

/// konnectivity-server's arguments, ports and mounts, and the pod's volumes.
fn told(spec: &Value) -> (Vec<String>, String, String) {
    let objects = built_with(spec);
    let pod = &objects
        .find("Deployment", "konnectivity-example")
        .unwrap()
        .body["spec"]["template"]["spec"];
    let containers = pod["containers"].as_array().unwrap();
    let server = containers
        .iter()
        .find(|container| container["name"] == "konnectivity-server")
        .unwrap();
    let arguments = server["args"].as_array().unwrap().iter();
    let arguments = arguments.map(|argument| argument.as_str().unwrap().to_owned());
    (
        arguments
            .filter(|flag| flag.starts_with("--peer"))
            .collect(),
        server["ports"].to_string(),
        pod["volumes"].to_string(),
    )
}

#[test]
fn our_server_is_told_of_its_peers_whatever_the_user_says() {
    let theirs = json!({"addons": {"konnectivity": {"server": {"extraArgs": ["--peer-port=1"]}}}});
    let (arguments, ports, volumes) = told(&theirs);
    let expected = [
        "--peer-ca-cert=/etc/kubernetes/pki/konnectivity-peer/ca.crt",
        "--peer-cert=/etc/kubernetes/pki/konnectivity-peer/tls.crt",
        "--peer-dns=konnectivity-example-konnectivity-peers.tenants.svc:8135",
        "--peer-key=/etc/kubernetes/pki/konnectivity-peer/tls.key",
        "--peer-port=8135",
    ];
    assert_eq!(arguments, expected);
    assert!(ports.contains("8135"), "{ports}");
    assert!(volumes.contains("\"pki/konnectivity-peer/tls.key\""));
}

#[test]
fn another_server_is_told_nothing_of_peers() {
    let other = json!({"addons": {"konnectivity": {"server": {"image": "example.org/server"}}}});
    let (arguments, ports, volumes) = told(&other);
    assert!(arguments.is_empty(), "{arguments:?}");
    assert!(!ports.contains("8135"), "{ports}");
    assert!(!volumes.contains("peer"), "{volumes}");
}

#[test]
fn another_image_has_no_peers_and_leaves_none() {
    let other = json!({"addons": {"konnectivity": {"server": {"image": "example.org/server"}}}});
    let objects = built_with(&other);
    assert!(objects.find("Service", SERVICE).is_none());
    assert!(objects.find("Secret", SECRET).is_none());
    let absent: Vec<_> = objects.absent().iter().map(ToString::to_string).collect();
    let expected = [
        format!("Secret tenants/{SECRET}"),
        format!("Service tenants/{SERVICE}"),
    ];
    assert_eq!(absent, expected);
    assert!(built_with(&json!({})).absent().is_empty());
}
