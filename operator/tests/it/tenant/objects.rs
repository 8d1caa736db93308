//! Objects on a real API server: written once, put back, replaced, left to users, removed.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use operator::tenant::observe::observe;
use serde_json::{Value, json};

use super::{deleted, names, pass, planned, tenant, wanted};
use crate::support::kube_api::KubeApi;

#[tokio::test]
async fn a_real_api_server_holds_what_is_wanted_and_is_then_left_alone() {
    let Some(server) = KubeApi::start("tenant objects").await else {
        return;
    };
    let client = server.client().await;
    let all = json!({ "konnectivity": {}, "kubeProxy": {}, "coreDNS": {} });
    let everything = tenant(&all);

    let first = pass(&client, &everything).await;
    assert_eq!(first.written.len(), wanted(&everything).len());
    assert!(
        planned(&client, &everything).await.is_empty(),
        "a second pass would write"
    );

    Box::pin(somebody_deletes_the_agent(&client, &all)).await;
    Box::pin(somebody_edits_the_corefile(&client, &all)).await;
    Box::pin(the_signer_signs_cluster_info(&client, &all)).await;
    Box::pin(the_mode_is_switched(&client)).await;
    Box::pin(a_foreign_selector_is_replaced(&client)).await;
    Box::pin(the_addons_go(&client)).await;
}

async fn somebody_deletes_the_agent(client: &Client, addons: &Value) {
    let api: Api<DaemonSet> = Api::namespaced(client.clone(), "kube-system");
    api.delete("konnectivity-agent", &DeleteParams::default())
        .await
        .unwrap();
    let applied = pass(client, &tenant(addons)).await;
    assert_eq!(
        names(&applied),
        ["DaemonSet kube-system/konnectivity-agent"]
    );
}

/// As `kubectl edit` does it: a whole object, written back by another manager.
async fn edit(api: &Api<ConfigMap>, name: &str, key: &str, text: &str) {
    let mut held = api.get(name).await.unwrap();
    held.metadata.managed_fields = None;
    held.data
        .get_or_insert_default()
        .insert(key.to_owned(), text.to_owned());
    let params = PostParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PostParams::default()
    };
    api.replace(name, &params, &held).await.unwrap();
}

async fn text(api: &Api<ConfigMap>, name: &str, key: &str) -> Option<String> {
    api.get(name)
        .await
        .unwrap()
        .data
        .unwrap_or_default()
        .remove(key)
}

async fn somebody_edits_the_corefile(client: &Client, addons: &Value) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-system");
    edit(&api, "coredns", "Corefile", ".:53 { whoami }").await;
    pass(client, &tenant(addons)).await;
    assert!(planned(client, &tenant(addons)).await.is_empty());
    assert_eq!(
        text(&api, "coredns", "Corefile").await.unwrap(),
        ".:53 { whoami }"
    );

    // Another edit on top of it is safe as well.
    edit(&api, "coredns", "Corefile", ".:53 { erratic }").await;
    pass(client, &tenant(addons)).await;
    assert_eq!(
        text(&api, "coredns", "Corefile").await.unwrap(),
        ".:53 { erratic }"
    );
}

async fn the_signer_signs_cluster_info(client: &Client, addons: &Value) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    edit(&api, "cluster-info", "jws-kubeconfig-abcdef", "signature").await;
    assert!(planned(client, &tenant(addons)).await.is_empty());

    let mut moved = tenant(addons);
    moved.spec.network_profile.advertise_address = Some("203.0.113.7".to_owned());
    pass(client, &moved).await;
    let signature = text(&api, "cluster-info", "jws-kubeconfig-abcdef").await;
    assert_eq!(signature.as_deref(), Some("signature"));
    let kubeconfig = text(&api, "cluster-info", "kubeconfig").await.unwrap();
    assert!(
        kubeconfig.contains("https://203.0.113.7:6443"),
        "{kubeconfig}"
    );
    pass(client, &tenant(addons)).await;
}

async fn the_mode_is_switched(client: &Client) {
    let agent = |agent: Value| tenant(&json!({ "konnectivity": { "agent": agent } }));
    let two = agent(json!({ "mode": "Deployment", "replicas": 2 }));
    let applied = pass(client, &two).await;
    assert_eq!(
        names(&applied),
        ["Deployment kube-system/konnectivity-agent"]
    );
    assert!(deleted(&applied).contains(&"DaemonSet kube-system/konnectivity-agent".to_owned()));

    // An autoscaler takes over when the number is not given.
    let scaled = agent(json!({ "mode": "Deployment" }));
    pass(client, &scaled).await;
    let api: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let patch = Patch::Merge(json!({ "spec": { "replicas": 7 } }));
    api.patch_scale("konnectivity-agent", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert!(planned(client, &scaled).await.is_empty());

    let back = pass(client, &agent(json!({ "mode": "DaemonSet" }))).await;
    assert_eq!(names(&back), ["DaemonSet kube-system/konnectivity-agent"]);
    assert_eq!(
        deleted(&back),
        ["Deployment kube-system/konnectivity-agent"]
    );
}

/// A selector cannot be changed, so the workload is made anew.
async fn a_foreign_selector_is_replaced(client: &Client) {
    let tcp = tenant(&json!({ "konnectivity": {} }));
    let api: Api<DaemonSet> = Api::namespaced(client.clone(), "kube-system");
    let held = api.get("konnectivity-agent").await.unwrap();
    let mut foreign = serde_json::to_value(&held).unwrap();
    let labels = json!({ "app": "konnectivity-agent" });
    foreign["metadata"] = json!({ "name": "konnectivity-agent", "namespace": "kube-system" });
    foreign["spec"]["selector"] = json!({ "matchLabels": labels });
    foreign["spec"]["template"]["metadata"]["labels"] = labels;
    api.delete("konnectivity-agent", &DeleteParams::default())
        .await
        .unwrap();
    let foreign: DaemonSet = serde_json::from_value(foreign).unwrap();
    api.create(&PostParams::default(), &foreign).await.unwrap();

    pass(client, &tcp).await;
    let found = api
        .get("konnectivity-agent")
        .await
        .unwrap()
        .spec
        .unwrap()
        .selector;
    let found = found.match_labels.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["k8s-app"]);
    assert!(planned(client, &tcp).await.is_empty());
}

async fn the_addons_go(client: &Client) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "konnectivity-proxy-server-x",
            "labels": { "k8s-app": "konnectivity-server" },
        },
    });
    let lease: DynamicObject = serde_json::from_value(lease).unwrap();
    let leases: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        "kube-system",
        &kube::core::ApiResource::erase::<k8s_openapi::api::coordination::v1::Lease>(&()),
    );
    leases.create(&PostParams::default(), &lease).await.unwrap();

    let bare = tenant(&json!({}));
    let mut plan = planned(client, &bare).await;
    assert!(plan.apply.is_empty());
    plan.forget = observe(client).await.unwrap().server_leases;
    operator::tenant::apply::apply(client, plan).await.unwrap();

    let left = observe(client).await.unwrap();
    assert!(left.server_leases.is_empty());
    assert!(planned(client, &bare).await.is_empty());
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(client.clone(), "kube-system");
    assert!(
        accounts
            .get_opt("konnectivity-agent")
            .await
            .unwrap()
            .is_none()
    );
}
