//! What our konnectivity-servers know each other by comes, is put back, and goes with them.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::Cluster;
use crate::support::management::{Tenant, named};

const REFERENCE: &str = "registry.example.org/proxy-server";

#[tokio::test]
async fn peers_are_put_back_and_go_with_our_server() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    let service = format!("{}-konnectivity-peers", tenant.name);
    let secret = format!("{}-konnectivity-peer-certificate", tenant.name);
    let services: Api<Service> = cluster.namespaced();
    let made = services.get(&service).await.unwrap();
    assert_eq!(made.spec.unwrap().cluster_ip.as_deref(), Some("None"));
    assert_eq!(made.metadata.owner_references.unwrap().len(), 1);

    let params = DeleteParams::default();
    services.delete(&service, &params).await.unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    let path = format!("PATCH /api/v1/namespaces/default/services/{service}");
    assert_eq!(cluster.writes.take(), [path]);
    services.get(&service).await.unwrap();

    let server = json!({ "image": REFERENCE });
    tenant
        .edit(json!({ "spec": { "addons": { "konnectivity": { "server": server } } } }))
        .await;
    tenant.pass(&cluster.ctx).await.unwrap();
    let secrets = tenant.names::<Secret>().await;
    assert!(!secrets.contains(&secret), "{secrets:?}");
    assert_eq!(secrets.len(), 13, "the rest stays: {secrets:?}");
    assert_eq!(
        tenant.names::<Service>().await,
        std::slice::from_ref(&tenant.name)
    );
    cluster.writes.take();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());
}

/// Another tenant may have the name, and a stranger too.
#[tokio::test]
async fn a_strangers_service_of_their_name_stays_a_strangers() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let services: Api<Service> = cluster.namespaced();
    let stranger: Service = serde_json::from_value(json!({
        "metadata": { "name": "alpha-konnectivity-peers" },
        "spec": { "clusterIP": "None", "selector": { "app": "web" } },
    }))
    .unwrap();
    let made = services
        .create(&PostParams::default(), &stranger)
        .await
        .unwrap();
    let tenant = Tenant::create(&cluster.client, &named("alpha", "ClusterIP", 6443)).await;
    for _pass in 0..2 {
        tenant.pass(&cluster.ctx).await.unwrap();
    }
    let untouched = async || {
        let kept = services.get("alpha-konnectivity-peers").await.unwrap();
        assert_eq!(kept.resource_version(), made.resource_version());
    };
    untouched().await;

    tenant
        .edit(json!({ "spec": { "addons": { "konnectivity": {} } } }))
        .await;
    tenant.pass(&cluster.ctx).await.unwrap_err();
    let (_, reason, message) = tenant.condition("Ready").await;
    assert_eq!(reason, "NameTaken");
    assert!(
        message.contains("Service alpha-konnectivity-peers was made by somebody else"),
        "{message}"
    );
    untouched().await;
}
