//! What can be wrong, each named by a condition with its remedy.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::PostParams;
use operator::api::DataStore;

use super::Cluster;
use crate::support::management::{Tenant, data_store, named};

#[tokio::test]
async fn every_fault_is_named_with_its_remedy() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let mut lost = named("lost", "ClusterIP", 6443);
    lost.spec.data_store = Some("nowhere".to_owned());
    let lost = Tenant::create(&cluster.client, &lost).await;
    for _pass in 0..2 {
        lost.pass(&cluster.ctx).await.unwrap();
    }
    let (status, reason, message) = lost.condition("DataStoreReady").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "DataStoreNotFound")
    );
    assert!(
        message.contains("nowhere") && message.contains("spec.dataStore"),
        "{message}"
    );
    assert_eq!(
        lost.names::<Deployment>().await,
        Vec::<String>::new(),
        "no pods that could only crash"
    );
    assert_eq!(lost.condition("Ready").await.1, "DataStoreNotFound");

    let stores: Api<DataStore> = Api::all(cluster.client.clone());
    let mut far = data_store("far", &cluster.etcd);
    far.spec.endpoints = vec!["127.0.0.1:1".to_owned()];
    stores.create(&PostParams::default(), &far).await.unwrap();
    let mut unreachable = named("unreachable", "ClusterIP", 6443);
    unreachable.spec.data_store = Some("far".to_owned());
    let unreachable = Tenant::create(&cluster.client, &unreachable).await;
    for _pass in 0..2 {
        unreachable.pass(&cluster.ctx).await.unwrap();
    }
    let (_, reason, message) = unreachable.condition("DataStoreReady").await;
    assert_eq!(reason, "DataStoreUnreachable");
    assert!(
        message.contains("127.0.0.1:1") && message.contains("spec.endpoints"),
        "{message}"
    );

    let first = Tenant::create(&cluster.client, &named("first", "NodePort", 31443)).await;
    first.pass(&cluster.ctx).await.unwrap();
    let second = Tenant::create(&cluster.client, &named("second", "NodePort", 31443)).await;
    second.pass(&cluster.ctx).await.unwrap_err();
    let (_, reason, message) = second.condition("EndpointReady").await;
    assert_eq!(reason, "PortClash");
    assert!(
        message.contains("already allocated") && message.contains("spec.networkProfile.port"),
        "{message}"
    );
}
