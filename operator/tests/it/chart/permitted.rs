//! The operator as the chart's ServiceAccount, with nothing but what the chart allows it.

use std::net::TcpListener;
use std::time::Duration;

use clap::Parser as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt as _};
use operator::api::{DataStore, TenantControlPlane};
use operator::args::Args;
use operator::run::{RunError, Shutdown, Trigger, run};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{apply, start};
use crate::support::helm::{NAMESPACE, find, objects, set};
use crate::support::kube_api::KubeApi;
use crate::support::management::{data_store, named};
use crate::support::secure_etcd::SecureEtcd;

/// Nothing here takes longer, also on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);
const NAME: &str = "alpha";

#[tokio::test]
async fn a_tenant_lives_and_ends_with_the_charts_permissions() {
    let Some((helm, server)) = start("chart").await else {
        return;
    };
    let Some(etcd) = SecureEtcd::start("chart").await else {
        return;
    };
    let client = server.client().await;
    // The API server cannot reach the webhook's Service here.
    let unreachable = ["webhook.failurePolicy=Ignore", "webhook.timeoutSeconds=1"];
    let chart = objects(&helm.template(&set(&unreachable)));
    for object in chart.iter().filter(|object| object["kind"] != "DataStore") {
        apply(&client, object).await.unwrap();
    }
    let mut operator = Operator::start(&server, find(&chart, "Deployment", "warren"));
    let life = async {
        stands_by(&client).await;
        comes_to_be(&client, &etcd).await;
        loses_its_tunnel(&client).await;
        ends(&client).await;
    };
    tokio::select! {
        () = life => {}
        ended = operator.running.join_next() => panic!("the operator ended: {ended:?}"),
    }
    operator.trigger.ask();
    let ended = timeout(PATIENCE, operator.running.join_next()).await;
    ended
        .expect("it ends when asked")
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(refusals(&client).await, [""; 0], "what lacks in rbac.yaml");
}

/// The operator in this process, with the arguments of its Deployment.
struct Operator {
    trigger: Trigger,
    running: JoinSet<Result<(), RunError>>,
}

impl Operator {
    fn start(server: &KubeApi, deployment: &Value) -> Self {
        let kubeconfig = server.kubeconfig_file("operator-token");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let given = container["args"].as_array().unwrap().iter();
        let loopback = || {
            let held = TcpListener::bind("127.0.0.1:0").unwrap();
            held.local_addr().unwrap()
        };
        let ours = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--operator-namespace={NAMESPACE}"),
            format!("--metrics-bind-address={}", loopback()),
            format!("--health-probe-bind-address={}", loopback()),
            format!("--webhook-bind-address={}", loopback()),
        ];
        let given = given.map(|argument| argument.as_str().unwrap().to_owned());
        let arguments = ["warren-operator".to_owned()].into_iter();
        let settings = Args::try_parse_from(arguments.chain(given).chain(ours)).unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(run(settings.settle().unwrap(), shutdown));
        Self { trigger, running }
    }
}

/// Its certificate is made, and trusted for every webhook.
async fn stands_by(client: &Client) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let is_trusted = |held: Option<&ValidatingWebhookConfiguration>| {
        let webhooks = held.and_then(|held| held.webhooks.as_ref());
        webhooks.is_some_and(|all| all.iter().all(|one| one.client_config.ca_bundle.is_some()))
    };
    let trusted = await_condition(api, "warren-webhook", is_trusted);
    timeout(PATIENCE, trusted)
        .await
        .expect("the webhook is trusted")
        .unwrap();
}

/// A tenant with a tunnel, whose Service somebody made before.
async fn comes_to_be(client: &Client, etcd: &SecureEtcd) {
    Api::<DataStore>::all(client.clone())
        .create(&PostParams::default(), &data_store("default", etcd))
        .await
        .unwrap();
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": NAME, "labels": {"kamaji.clastix.io/name": NAME}},
        "spec": {"ports": [{"name": "kube-apiserver", "port": 6443}]},
    }))
    .unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    services
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
    let mut tcp = serde_json::to_value(named(NAME, "ClusterIP", 6443)).unwrap();
    json_patch::merge(&mut tcp, &json!({"spec": {"addons": {"konnectivity": {}}}}));
    let tcp: TenantControlPlane = serde_json::from_value(tcp).unwrap();
    tenants(client)
        .create(&PostParams::default(), &tcp)
        .await
        .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let is_there = await_condition(deployments, NAME, |held: Option<&Deployment>| {
        held.is_some()
    });
    timeout(PATIENCE, is_there)
        .await
        .expect("the Deployment appears")
        .unwrap();
    let adopted = services.get(NAME).await.unwrap();
    assert_eq!(adopted.owner_references().len(), 1, "{adopted:?}");
}

/// What the addon leaves is removed.
async fn loses_its_tunnel(client: &Client) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    let name = "alpha-konnectivity-certificate";
    let held = secrets.get(name).await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let peers = "alpha-konnectivity-peers";
    let found = services.get(peers).await.unwrap();
    let patch = json!({"spec": {"addons": {"konnectivity": null}}});
    tenants(client)
        .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    let uid = held.uid().unwrap();
    let is_gone = await_condition(secrets, name, conditions::is_deleted(&uid));
    timeout(PATIENCE, is_gone)
        .await
        .expect("the tunnel's Secret goes")
        .unwrap();
    let uid = found.uid().unwrap();
    let is_gone = await_condition(services, peers, conditions::is_deleted(&uid));
    timeout(PATIENCE, is_gone)
        .await
        .expect("the peers' Service goes")
        .unwrap();
}

async fn ends(client: &Client) {
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    let told = events.list(&ListParams::default()).await.unwrap();
    assert!(
        told.items
            .iter()
            .any(|event| event.regarding.as_ref().and_then(|of| of.name.as_deref()) == Some(NAME)),
        "Events tell of it"
    );
    let uid = tenants(client).get(NAME).await.unwrap().uid().unwrap();
    tenants(client)
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    let is_gone = await_condition(tenants(client), NAME, conditions::is_deleted(&uid));
    timeout(PATIENCE, is_gone)
        .await
        .expect("the tenant goes")
        .unwrap();
}

fn tenants(client: &Client) -> Api<TenantControlPlane> {
    Api::namespaced(client.clone(), "default")
}

/// The requests that kube-apiserver forbade to anybody, as its metrics count them.
async fn refusals(client: &Client) -> Vec<String> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let page = client.request_text(request).await.unwrap();
    let forbidden =
        |line: &&str| line.starts_with("apiserver_request_total{") && line.contains("code=\"403\"");
    page.lines().filter(forbidden).map(str::to_owned).collect()
}
