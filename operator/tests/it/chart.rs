//! The Helm chart as helm renders it, and as a real kube-apiserver takes it.

mod installed;
mod permitted;
mod rendered;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use operator::crd_install;
use serde_json::{Value, json};

use crate::support::helm::{Helm, NAMESPACE};
use crate::support::kube_api::KubeApi;

/// Kinds of the chart that belong to no namespace.
const CLUSTER_WIDE: [&str; 4] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingWebhookConfiguration",
    "DataStore",
];

/// helm, and a kube-apiserver with our definitions and the namespace of the release.
async fn start(test: &str) -> Option<(Helm, KubeApi)> {
    let helm = Helm::find(test)?;
    let server = KubeApi::start(test).await?;
    let client = server.client().await;
    let labels = json!({ "pod-security.kubernetes.io/enforce": "restricted" });
    let metadata = json!({ "name": NAMESPACE, "labels": labels });
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    crd_install::install(&client).await.unwrap();
    Some((helm, server))
}

/// As helm does; a field that the API does not know is refused.
async fn apply(client: &Client, object: &Value) -> Result<DynamicObject, kube::Error> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
    let (group, version) = text("/apiVersion")
        .split_once('/')
        .unwrap_or_else(|| ("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = if CLUSTER_WIDE.contains(&text("/kind")) {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), NAMESPACE, &resource)
    };
    let params = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("helm")
    };
    api.patch(text("/metadata/name"), &params, &Patch::Apply(object))
        .await
}

/// What lets helm look things up in the cluster.
fn server_side(server: &KubeApi) -> [String; 2] {
    let kubeconfig = server.kubeconfig_file("root-token").display().to_string();
    [
        "--dry-run=server".to_owned(),
        format!("--kubeconfig={kubeconfig}"),
    ]
}
