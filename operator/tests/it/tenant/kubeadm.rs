//! kubeadm is the judge: what its phases leave in a cluster, we leave too, and nothing that contradicts it.

use std::path::Path;
use std::process::Command;

use kube::api::{ListParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use operator::tenant::object::{Key, TenantObject};
use operator::tenant::observe::kinds;
use serde_json::{Value, json};

use super::{pass, planned, tenant, wanted};
use crate::support::kube_api::{KubeApi, program};

#[tokio::test]
async fn what_kubeadm_leaves_in_a_cluster_we_leave_too() {
    let Some(server) = KubeApi::start("kubeadm").await else {
        return;
    };
    let Some(kubeadm) = program("kubeadm") else {
        return;
    };
    let client = server.client().await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({
        "metadata": { "name": "node", "labels": { "kubernetes.io/hostname": "node" } },
    }))
    .unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let before = everything(&client).await;
    run_phases(&kubeadm, &server);
    let theirs = everything(&client).await;

    let tcp = tenant(&json!({ "konnectivity": null, "kubeProxy": {}, "coreDNS": {} }));
    let ours = wanted(&tcp);
    for (key, their) in &theirs {
        if before.iter().any(|(known, _)| known == key) {
            continue;
        }
        let our = ours.iter().find(|object| object.key() == *key);
        let our = our.unwrap_or_else(|| panic!("kubeadm leaves {key}, we do not"));
        agree(our, their);
    }

    // Taking over from kubeadm works, once.
    pass(&client, &tcp).await;
    assert!(planned(&client, &tcp).await.is_empty());
}

fn run_phases(kubeadm: &Path, server: &KubeApi) {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("admin.conf");
    std::fs::write(&kubeconfig, server.kubeconfig().to_string()).unwrap();
    let configuration = directory.path().join("kubeadm.yaml");
    let parts = [
        json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": { "advertiseAddress": "192.0.2.10", "bindPort": 6443 },
            "nodeRegistration": { "name": "node", "criSocket": "unix:///run/containerd/containerd.sock" },
        }),
        json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "clusterName": "konnectivity-example",
            "controlPlaneEndpoint": "192.0.2.10:6443",
            "kubernetesVersion": "v1.33.0",
            "networking": { "serviceSubnet": "10.0.0.0/24", "podSubnet": "10.244.0.0/16" },
        }),
    ];
    let text = parts.map(|part| part.to_string()).join("\n---\n");
    std::fs::write(&configuration, text).unwrap();
    for phase in [
        &["upload-config", "all"][..],
        &["bootstrap-token"],
        &["addon", "all"],
    ] {
        let output = Command::new(kubeadm)
            .args(["init", "phase"])
            .args(phase)
            .arg(format!("--config={}", configuration.display()))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "kubeadm init phase {phase:?}: {said}"
        );
    }
}

/// Every object of our kinds, whoever made it.
async fn everything(client: &Client) -> Vec<(Key, DynamicObject)> {
    let mut found = Vec::new();
    for resource in kinds() {
        found.extend(list(client, &resource).await);
    }
    found
}

async fn list(client: &Client, resource: &ApiResource) -> Vec<(Key, DynamicObject)> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let items = api.list(&ListParams::default()).await.unwrap().items;
    items
        .into_iter()
        .map(|object| (Key::of(resource, &object), object))
        .collect()
}

fn agree(our: &TenantObject, their: &DynamicObject) {
    let key = our.key();
    match key.kind.as_str() {
        "Role" | "ClusterRole" => {
            assert_eq!(grants(&our.object.data), grants(&their.data), "{key}");
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            assert_eq!(our.object.data["roleRef"], their.data["roleRef"], "{key}");
            let subjects = |data: &Value| sorted(data["subjects"].as_array().unwrap());
            assert_eq!(subjects(&our.object.data), subjects(&their.data), "{key}");
        }
        "ConfigMap" => texts_agree(&key, &our.object.data["data"], &their.data["data"]),
        "DaemonSet" | "Deployment" => {
            let place = "/spec/template/spec/containers/0";
            for field in ["image", "name"] {
                let path = format!("{place}/{field}");
                assert_eq!(
                    our.object.data.pointer(&path),
                    their.data.pointer(&path),
                    "{key}"
                );
            }
            let path = "/spec/selector";
            assert_eq!(
                our.object.data.pointer(path),
                their.data.pointer(path),
                "{key}"
            );
        }
        "Service" => {
            let path = "/spec/clusterIP";
            assert_eq!(
                our.object.data.pointer(path),
                their.data.pointer(path),
                "{key}"
            );
        }
        _ => {}
    }
}

/// Rules taken apart: (group, resource, name, verb), sorted.
fn grants(data: &Value) -> Vec<String> {
    let rules = data["rules"].as_array().unwrap();
    let mut grants: Vec<String> = rules
        .iter()
        .flat_map(|rule| {
            let fields = ["apiGroups", "resources", "resourceNames", "verbs"];
            fields.iter().fold(vec![String::new()], |found, field| {
                let values = rule[field].as_array().cloned();
                let values = values.unwrap_or_else(|| vec![Value::Null]);
                let longer = found
                    .iter()
                    .flat_map(|text| values.iter().map(move |value| format!("{text} {value}")));
                longer.collect()
            })
        })
        .collect();
    grants.sort();
    grants
}

fn sorted(values: &[Value]) -> Vec<String> {
    let mut texts: Vec<_> = values.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

/// What we say, they say; what they say beyond that is a default.
fn texts_agree(key: &Key, our: &Value, their: &Value) {
    for (name, text) in our.as_object().unwrap() {
        let their = their[name]
            .as_str()
            .unwrap_or_else(|| panic!("{key}: no `{name}`"));
        if name == "Corefile" {
            assert_eq!(text.as_str().unwrap().trim(), their.trim());
            continue;
        }
        let parse = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
        let (our, mut their) = (parse(text.as_str().unwrap()), parse(their));
        if key.name == "cluster-info" {
            // Their server and authority are those of the kubeconfig they were given.
            their["clusters"][0]["cluster"] = our["clusters"][0]["cluster"].clone();
        }
        within(&format!("{key} {name}"), &our, &their);
    }
}

fn within(place: &str, our: &Value, their: &Value) {
    match (our, their) {
        (Value::Object(our), Value::Object(their)) => {
            for (name, value) in our {
                within(
                    &format!("{place}.{name}"),
                    value,
                    their.get(name).unwrap_or(&Value::Null),
                );
            }
            for (name, value) in their {
                let default = our.contains_key(name) || is_default(name, value);
                assert!(
                    default,
                    "{place}: they say {name} = {value}, we say nothing"
                );
            }
        }
        (our, their) => assert_eq!(our, their, "{place}"),
    }
}

/// What kubeadm writes out though it is what the reader assumes anyway.
fn is_default(name: &str, value: &Value) -> bool {
    let known = [
        ("caCertificateValidityPeriod", json!("87600h0m0s")),
        ("certificateValidityPeriod", json!("8760h0m0s")),
        ("encryptionAlgorithm", json!("RSA-2048")),
        ("etcd", json!({ "local": { "dataDir": "/var/lib/etcd" } })),
    ];
    let is_zero = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => ["", "0", "0s"].contains(&text.as_str()),
        Value::Array(list) => list.is_empty(),
        Value::Object(_) => false,
    };
    let all_zero = |value: &Value| match value {
        Value::Object(fields) => fields.iter().all(|(name, value)| is_default(name, value)),
        value => is_zero(value),
    };
    known.contains(&(name, value.clone())) || all_zero(value)
}
