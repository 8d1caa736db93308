//! Holds `read.rs` to what it promises.

use serde_json::json;

use super::*;

const OURS: &str = "example.com/warren/konnectivity-agent:0.1.0";

fn tcp(spec: &serde_json::Value) -> TenantControlPlane {
    let mut object = json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": { "name": "konnectivity-example", "namespace": "tenants" },
        "spec": {
            "controlPlane": { "service": { "serviceType": "LoadBalancer" } },
            "kubernetes": { "version": "v1.33.0" },
            "addons": { "konnectivity": {} },
        },
        "status": { "controlPlaneEndpoint": "192.0.2.10:6443" },
    });
    json_patch::merge(&mut object, &json!({ "spec": spec }));
    serde_json::from_value(object).unwrap()
}

fn agent_of(spec: &serde_json::Value) -> Agent {
    read(&tcp(spec), "CA", OURS)
        .unwrap()
        .addons
        .konnectivity
        .unwrap()
}

#[test]
fn the_documents_manifest_means_our_agent_on_every_node() {
    let inputs = read(&tcp(&json!({})), "CA", OURS).unwrap();
    let agent = inputs.addons.konnectivity.unwrap();
    assert_eq!(agent.image.reference(), OURS);
    assert_eq!(agent.placement, Placement::EveryNode);
    assert_eq!(agent.server.to_string(), "192.0.2.10:8132");
    assert_eq!(inputs.network.dns_addresses, ["10.96.0.10"]);
    assert_eq!(inputs.version.minor, 33);
    assert_eq!(inputs.addons.kube_proxy, None);
}

#[test]
fn the_contracts_default_image_is_ours_and_any_other_is_literal() {
    let image = |agent: serde_json::Value| {
        agent_of(&json!({ "addons": { "konnectivity": { "agent": agent } } }))
            .image
            .reference()
            .to_owned()
    };
    assert_eq!(image(json!({ "image": DEFAULT_AGENT_IMAGE })), OURS);
    let tagged = image(json!({ "image": DEFAULT_AGENT_IMAGE, "version": "0.2.0" }));
    assert_eq!(tagged, OURS, "the server's tag is not the user's either");
    assert_eq!(
        image(json!({ "image": "r.example/a" })),
        "r.example/a:v0.33.0"
    );
    assert_eq!(
        image(json!({ "image": "r.example:5000/a" })),
        "r.example:5000/a:v0.33.0"
    );
    assert_eq!(
        image(json!({ "image": "r.example/a", "version": "v1" })),
        "r.example/a:v1"
    );
    assert_eq!(
        image(json!({ "image": "r.example/a", "version": "" })),
        "r.example/a:v0.33.0",
        "an empty version is none"
    );
    assert_eq!(
        image(json!({ "image": "r.example/a@sha256:00" })),
        "r.example/a@sha256:00"
    );
}

#[test]
fn nodes_go_where_the_control_plane_is_advertised() {
    let profile = json!({ "networkProfile": { "advertiseAddress": "203.0.113.7" } });
    let inputs = read(&tcp(&profile), "CA", OURS).unwrap();
    assert_eq!(inputs.endpoint.to_string(), "203.0.113.7:6443");
    assert_eq!(
        inputs.addons.konnectivity.unwrap().server.host,
        "203.0.113.7"
    );
}

#[test]
fn addons_have_images_that_go_with_the_version() {
    let addons = json!({ "addons": { "kubeProxy": {}, "coreDNS": {} } });
    let inputs = read(&tcp(&addons), "CA", OURS).unwrap();
    assert_eq!(
        inputs.addons.kube_proxy.unwrap(),
        "registry.k8s.io/kube-proxy:v1.33.0"
    );
    assert_eq!(
        inputs.addons.core_dns.unwrap(),
        "registry.k8s.io/coredns/coredns:v1.12.0"
    );
    let addons =
        json!({ "addons": { "coreDNS": { "imageRepository": "r.example", "imageTag": "v9" } } });
    let inputs = read(&tcp(&addons), "CA", OURS).unwrap();
    assert_eq!(inputs.addons.core_dns.unwrap(), "r.example/coredns:v9");
}

#[test]
fn what_is_missing_is_named() {
    let mut waiting = tcp(&json!({}));
    waiting.status = None;
    assert_eq!(read(&waiting, "CA", OURS), Err(ReadError::NoEndpoint));
    let odd = tcp(&json!({ "kubernetes": { "version": "latest" } }));
    assert_eq!(
        read(&odd, "CA", OURS),
        Err(ReadError::Version("latest".to_owned()))
    );
    let tiny = tcp(&json!({ "networkProfile": { "serviceCidrs": ["10.96.0.0/30"] } }));
    assert_eq!(
        read(&tiny, "CA", OURS),
        Err(ReadError::NoDnsAddress("10.96.0.0/30".to_owned()))
    );
}

#[test]
fn both_families_have_their_dns_address_in_their_order() {
    let ranges = json!({ "networkProfile": { "serviceCidrs": ["fd00:1::/112", "10.96.0.0/16"] } });
    let inputs = read(&tcp(&ranges), "CA", OURS).unwrap();
    assert_eq!(inputs.network.dns_addresses, ["fd00:1::a", "10.96.0.10"]);
}

#[test]
fn operations_on_kubelets_are_read() {
    let kubelet = json!({ "kubernetes": { "version": "v1.33.0", "kubelet": { "configurationJSONPatches": [
        { "op": "add", "path": "/maxPods", "value": 50 },
        { "op": "remove", "path": "/staticPodPath" },
    ] } } });
    let inputs = read(&tcp(&kubelet), "CA", OURS).unwrap();
    assert_eq!(inputs.kubelet.patch.len(), 2);
}
