//! The end of a tenant: its data goes, and it ends or says why not.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use operator::api::DataStore;
use operator::etcd::Etcd;
use operator::etcd::tenancy::Tenancy;
use serde_json::json;

use super::Cluster;
use crate::support::management::{Tenant, cluster_ip_tenant};

#[tokio::test]
async fn deleting_a_tenant_deletes_its_data_and_ends() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    let uid = tenant.read().await.uid().unwrap();
    let tenancy = Tenancy {
        schema: uid.clone(),
        user: uid.clone(),
    };
    let root = Etcd::connect(&[cluster.etcd.endpoint()], &cluster.etcd.tls("root"))
        .await
        .unwrap();
    root.put(&format!("/{uid}/registry/x"), "1").await.unwrap();
    root.put("/other/registry/x", "1").await.unwrap();
    tenant
        .api
        .delete(&tenant.name, &DeleteParams::default())
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert!(
        tenant.api.get_opt(&tenant.name).await.unwrap().is_none(),
        "the finalizer is off"
    );
    assert_eq!(root.count_keys(&tenancy).await.unwrap(), 0);
    let other = Tenancy {
        schema: "other".to_owned(),
        user: "other".to_owned(),
    };
    assert_eq!(
        root.count_keys(&other).await.unwrap(),
        1,
        "nobody else's data is touched"
    );
}

#[tokio::test]
async fn a_deletion_that_cannot_end_says_why_and_can_be_let_go() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    let stores: Api<DataStore> = Api::all(cluster.client.clone());
    let nowhere = json!({ "spec": { "endpoints": ["127.0.0.1:1"] } });
    stores
        .patch("default", &PatchParams::default(), &Patch::Merge(nowhere))
        .await
        .unwrap();
    tenant
        .api
        .delete(&tenant.name, &DeleteParams::default())
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap_err();
    let (_, reason, message) = tenant.condition("Ready").await;
    assert_eq!(reason, "Deleting");
    assert!(
        message.contains("kamaji.clastix.io/abandon-data"),
        "{message}"
    );

    tenant
        .edit(
            json!({ "metadata": { "annotations": { "kamaji.clastix.io/abandon-data": "true" } } }),
        )
        .await;
    tenant.pass(&cluster.ctx).await.unwrap();
    assert!(tenant.api.get_opt(&tenant.name).await.unwrap().is_none());
}

/// A Deployment and a Secret of the tenant's names that somebody else made.
#[tokio::test]
async fn the_end_of_a_refused_tenant_touches_nothing_of_others() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let holder = cluster.serving().await;
    let uid = holder.read().await.uid().unwrap();
    let root = Etcd::connect(&[cluster.etcd.endpoint()], &cluster.etcd.tls("root"))
        .await
        .unwrap();
    root.put(&format!("/{uid}/registry/x"), "1").await.unwrap();

    let deployments: Api<Deployment> = cluster.namespaced();
    let selected = json!({ "app": "web" });
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": { "name": "web" },
        "spec": {
            "selector": { "matchLabels": selected },
            "template": {
                "metadata": { "labels": selected },
                "spec": { "containers": [{ "name": "web", "image": "web" }] },
            },
        },
    }))
    .unwrap();
    let made = deployments
        .create(&PostParams::default(), &deployment)
        .await
        .unwrap();
    let secrets: Api<Secret> = cluster.namespaced();
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": "web-datastore-config" },
        "stringData": { "DB_SCHEMA": uid, "DB_USER": uid },
    }))
    .unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();

    let tenant = Tenant::create(&cluster.client, &cluster_ip_tenant("web")).await;
    tenant.pass(&cluster.ctx).await.unwrap_err();
    assert_eq!(tenant.condition("Ready").await.1, "NameTaken");
    tenant
        .api
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert!(tenant.api.get_opt("web").await.unwrap().is_none());
    let kept = deployments.get("web").await.unwrap();
    assert_eq!(kept.metadata.uid, made.metadata.uid);
    assert_eq!(kept.metadata.deletion_timestamp, None);
    let tenancy = Tenancy {
        schema: uid.clone(),
        user: uid,
    };
    assert_eq!(root.count_keys(&tenancy).await.unwrap(), 1);
}
