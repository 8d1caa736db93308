//! What is there is adopted: objects of these names that another manager left.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::Cluster;
use crate::support::management::{Tenant, named};

#[tokio::test]
async fn authority_and_keys_that_are_there_are_adopted_to_the_byte() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tcp = named("adopted", "ClusterIP", 6443);
    let authority = operator::pki::Authority::create("kubernetes", jiff::Timestamp::now()).unwrap();
    let secrets: Api<Secret> = cluster.namespaced();
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": "adopted-ca", "labels": { "made-by": "somebody" } },
        "stringData": { "ca.crt": authority.certificate(), "ca.key": authority.pair().key() },
    }))
    .unwrap();
    let params = PostParams {
        field_manager: Some("manager".to_owned()),
        ..PostParams::default()
    };
    secrets.create(&params, &secret).await.unwrap();

    let tenant = Tenant::create(&cluster.client, &tcp).await;
    for _pass in 0..2 {
        tenant.pass(&cluster.ctx).await.unwrap();
    }
    let kept = secrets.get("adopted-ca").await.unwrap();
    assert_eq!(
        kept.data.unwrap()["ca.crt"].0,
        authority.certificate().as_bytes()
    );
    let managers = kept.metadata.managed_fields.unwrap();
    let managers: Vec<_> = managers
        .iter()
        .filter_map(|entry| entry.manager.as_deref())
        .collect();
    assert_eq!(
        managers,
        ["warren"],
        "what the former manager set is ours, so that it can go"
    );
    assert_eq!(kept.metadata.labels.unwrap().get("made-by"), None);
    cluster.writes.take();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());
}
