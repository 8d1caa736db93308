//! The end of a tenant: its data goes, and it ends or says why not.

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use operator::api::DataStore;
use operator::etcd::Etcd;
use operator::etcd::tenancy::Tenancy;
use serde_json::json;

use super::Cluster;

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
