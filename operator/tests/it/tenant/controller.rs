//! The whole controller against a real API server that is management cluster and tenant in one.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersion};
use kube::runtime::events::Reporter;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client};
use operator::api::condition::{ConditionType, find};
use operator::api::{TenantControlPlane, schema};
use operator::events::Events;
use operator::tenant::{Probing, Reach, Tenants, run};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::AGENT_IMAGE;
use crate::support::kube_api::KubeApi;
use crate::support::link::Link;
use crate::support::requests::{requests, writes};

const PATIENCE: Duration = Duration::from_secs(30);
/// Quicker than a person would wait for in a test.
const PROBING: Probing = Probing {
    every: Duration::from_millis(500),
    limit: Duration::from_secs(2),
};
/// What a person may have to wait for an agent that was deleted by hand.
const BACK: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_brings_tenants_up_and_keeps_them_so() {
    let Some(server) = KubeApi::start("tenant controller").await else {
        return;
    };
    let client = server.client().await;
    define(&client).await;
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let tenants = Tenants {
        client: client.clone(),
        events: Events::new(client.clone(), Reporter::from("warren-operator")),
        agent_image: AGENT_IMAGE.to_owned(),
        reach: Reach::Endpoint,
        probing: PROBING,
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { run(tenants, async move { stopped.notified().await }).await });

    // One that accepts connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    create(&client, &server, "hung", silent_port).await;
    let link = Link::to(server.port()).await;
    create(&client, &server, "alpha", link.port()).await;

    comes_up(&client).await;
    an_agent_deleted_by_hand_is_back(&client).await;
    grants_and_services_deleted_by_hand_are_back(&client).await;
    an_idle_tenant_costs_no_write(&client).await;
    connections_cut_in_silence_are_made_anew(&client, &link).await;
    a_silent_tenant_is_named_until_it_answers(&client, &link).await;
    the_mode_follows_the_spec(&client).await;
    the_addon_goes_with_everything(&client).await;
    condition_becomes(
        &client,
        "hung",
        ConditionType::TenantBootstrapped,
        "TenantUnreachable",
    )
    .await;

    stop.notify_one();
    timeout(PATIENCE, tasks.join_next())
        .await
        .expect("the controller does not stop");
    drop(silent);
}

async fn define(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in schema::definitions() {
        let name = definition.metadata.name.clone().unwrap();
        let params = PatchParams::apply("warren").force();
        api.patch(&name, &params, &Patch::Apply(&definition))
            .await
            .unwrap();
        await_condition(api.clone(), &name, conditions::is_crd_established())
            .await
            .unwrap();
    }
}

fn tcps(client: &Client) -> Api<TenantControlPlane> {
    Api::namespaced(client.clone(), "default")
}

/// A control plane as the management side leaves it: Secrets, endpoint, a ready pod.
async fn create(client: &Client, server: &KubeApi, name: &str, port: u16) {
    let mut kubeconfig = server.kubeconfig();
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    for (suffix, key, text) in [
        (
            "admin-kubeconfig",
            "super-admin.svc",
            kubeconfig.to_string(),
        ),
        ("ca", "ca.crt", super::AUTHORITY.to_owned()),
    ] {
        let secret = json!({
            "metadata": { "name": format!("{name}-{suffix}") },
            "data": { key: STANDARD.encode(text) },
        });
        let secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    let mut tcp = super::tenant(&json!({ "konnectivity": {}, "coreDNS": {} }));
    tcp.metadata.name = Some(name.to_owned());
    tcp.status = None;
    tcps(client)
        .create(&PostParams::default(), &tcp)
        .await
        .unwrap();
    let status = json!({ "status": {
        "controlPlaneEndpoint": format!("127.0.0.1:{port}"),
        "kubernetesResources": {
            "version": { "status": "Ready" },
            "deployment": { "readyReplicas": 1, "name": name, "namespace": "default", "selector": "" },
        },
    } });
    tcps(client)
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
}

async fn condition_becomes(client: &Client, name: &str, kind: ConditionType, reason: &str) {
    let reached = await_condition(tcps(client), name, |tcp: Option<&TenantControlPlane>| {
        let conditions = tcp
            .and_then(|tcp| tcp.status.as_ref())
            .map(|status| &status.conditions);
        conditions
            .and_then(|conditions| find(conditions, kind))
            .is_some_and(|condition| condition.reason == reason)
    });
    if timeout(PATIENCE, Box::pin(reached)).await.is_err() {
        let held = tcps(client)
            .get(name)
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        panic!(
            "{name}: {} does not become {reason}: {:#?}",
            kind.as_str(),
            held.conditions
        );
    }
}

async fn comes_up(client: &Client) {
    condition_becomes(
        client,
        "alpha",
        ConditionType::TenantBootstrapped,
        "AsExpected",
    )
    .await;
    condition_becomes(client, "alpha", ConditionType::AgentsReady, "NoNodes").await;
    condition_becomes(
        client,
        "alpha",
        ConditionType::TunnelReady,
        "ServersMissing",
    )
    .await;
    a_server_announces_itself(client).await;
    condition_becomes(client, "alpha", ConditionType::TunnelReady, "AsExpected").await;
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-public");
    let info = config_maps.get("cluster-info").await.unwrap();
    assert!(info.data.unwrap()["kubeconfig"].contains("https://127.0.0.1:"));
    let status = tcps(client).get("alpha").await.unwrap().status.unwrap();
    let konnectivity = status.addons.unwrap().konnectivity.unwrap();
    assert_eq!(
        konnectivity.agent.unwrap().mode.as_deref(),
        Some("DaemonSet")
    );
}

/// As konnectivity-server does it, for longer.
async fn a_server_announces_itself(client: &Client) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    let lease = json!({
        "metadata": { "name": "konnectivity-proxy-server-a", "labels": { "k8s-app": "konnectivity-server" } },
        "spec": { "holderIdentity": "a", "leaseDurationSeconds": 3600, "renewTime": MicroTime(Timestamp::now()) },
    });
    let lease = serde_json::from_value(lease).unwrap();
    leases.create(&PostParams::default(), &lease).await.unwrap();
}

async fn an_agent_deleted_by_hand_is_back(client: &Client) {
    let api: Api<DaemonSet> = Api::namespaced(client.clone(), "kube-system");
    let before = api.get("konnectivity-agent").await.unwrap().metadata.uid;
    api.delete("konnectivity-agent", &DeleteParams::background())
        .await
        .unwrap();
    let back = await_condition(
        api.clone(),
        "konnectivity-agent",
        |found: Option<&DaemonSet>| found.is_some_and(|found| found.metadata.uid != before),
    );
    timeout(BACK, back)
        .await
        .expect("the agent is not back in time")
        .unwrap();
}

/// What nodes, administrators and the tunnel stand on comes back by its watch, whatever its kind.
async fn grants_and_services_deleted_by_hand_are_back(client: &Client) {
    let grants = "rbac.authorization.k8s.io/v1";
    let system = Some("kube-system");
    for (version, kind, namespace, name) in [
        (grants, "ClusterRole", None, "kubeadm:get-nodes"),
        (grants, "ClusterRoleBinding", None, "kubeadm:cluster-admins"),
        (grants, "Role", system, "kubeadm:kubelet-config"),
        (grants, "RoleBinding", system, "kubeadm:kubelet-config"),
        ("v1", "ConfigMap", system, "kubelet-config"),
        ("v1", "ServiceAccount", system, "konnectivity-agent"),
        ("v1", "Service", system, "kube-dns"),
    ] {
        let kind = version.parse::<GroupVersion>().unwrap().with_kind(kind);
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let before = api.get_metadata(name).await.unwrap().metadata.uid;
        api.delete(name, &DeleteParams::background()).await.unwrap();
        let is_back =
            |found: Option<&DynamicObject>| found.is_some_and(|found| found.metadata.uid != before);
        timeout(BACK, await_condition(api, name, is_back))
            .await
            .unwrap_or_else(|_| panic!("{} {name} is not back in time", kind.kind))
            .unwrap();
    }
}

/// The connections that were open lead nowhere any more, and nobody says so. New ones would work.
async fn connections_cut_in_silence_are_made_anew(client: &Client, link: &Link) {
    let opened = link.opened();
    link.cut();
    link.opened_after(opened).await;
    // The watches came with them.
    an_agent_deleted_by_hand_is_back(client).await;
    condition_becomes(
        client,
        "alpha",
        ConditionType::TenantBootstrapped,
        "AsExpected",
    )
    .await;
}

async fn a_silent_tenant_is_named_until_it_answers(client: &Client, link: &Link) {
    let kind = ConditionType::TenantBootstrapped;
    link.block();
    condition_becomes(client, "alpha", kind, "TenantUnreachable").await;
    link.unblock();
    condition_becomes(client, "alpha", kind, "AsExpected").await;
    an_agent_deleted_by_hand_is_back(client).await;
}

/// How many passes have read the tenant.
async fn passes(client: &Client) -> u64 {
    requests(client, &["LIST"], &["clusterroles"])
        .await
        .into_values()
        .sum()
}

async fn touch(client: &Client, value: &str) {
    let patch = json!({ "metadata": { "annotations": { "touched": value } } });
    let params = PatchParams::default();
    tcps(client)
        .patch("alpha", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
}

async fn an_idle_tenant_costs_no_write(client: &Client) {
    let before = writes(client).await;
    for value in ["1", "2"] {
        let passed = passes(client).await;
        touch(client, value).await;
        let looked = async {
            while passes(client).await == passed {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, looked)
            .await
            .expect("a touched tenant is not looked at");
    }
    assert_eq!(writes(client).await, before);
}

async fn change_addons(client: &Client, addons: &Value) {
    let patch = json!({ "spec": { "addons": addons } });
    let params = PatchParams::default();
    tcps(client)
        .patch("alpha", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
}

async fn the_mode_follows_the_spec(client: &Client) {
    let agent = json!({ "mode": "Deployment", "replicas": 2 });
    change_addons(client, &json!({ "konnectivity": { "agent": agent } })).await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let daemon_sets: Api<DaemonSet> = Api::namespaced(client.clone(), "kube-system");
    let there = await_condition(
        deployments,
        "konnectivity-agent",
        |found: Option<&Deployment>| found.is_some(),
    );
    timeout(PATIENCE, there)
        .await
        .expect("no Deployment of agents")
        .unwrap();
    let gone = await_condition(
        daemon_sets,
        "konnectivity-agent",
        |found: Option<&DaemonSet>| found.is_none(),
    );
    timeout(PATIENCE, gone)
        .await
        .expect("the DaemonSet of agents stays")
        .unwrap();
}

async fn the_addon_goes_with_everything(client: &Client) {
    change_addons(client, &json!({ "konnectivity": null })).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "kube-system");
    let gone = await_condition(
        accounts,
        "konnectivity-agent",
        |found: Option<&ServiceAccount>| found.is_none(),
    );
    timeout(PATIENCE, gone)
        .await
        .expect("the agents' ServiceAccount stays")
        .unwrap();
    condition_becomes(client, "alpha", ConditionType::AgentsReady, "Disabled").await;
    let status = tcps(client).get("alpha").await.unwrap().status.unwrap();
    let konnectivity = status.addons.unwrap().konnectivity.unwrap();
    assert!(!konnectivity.enabled && konnectivity.agent.is_none());
}
