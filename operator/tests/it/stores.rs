//! The `DataStore` controller against a real kube-apiserver and a real etcd.

use std::sync::Arc;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use operator::api::DataStore;
use operator::context::Context;
use operator::crd_install;
use operator::data_store::reconcile;
use operator::etcd::Etcd;
use serde_json::{Value, json};

use crate::support::kube_api::KubeApi;
use crate::support::management::{Writes, context, data_store};
use crate::support::secure_etcd::SecureEtcd;

struct Cluster {
    stores: Api<DataStore>,
    writes: Writes,
    ctx: Arc<Context>,
    etcd: SecureEtcd,
    _client: Client,
    _server: KubeApi,
}

impl Cluster {
    async fn start() -> Option<Self> {
        let server = KubeApi::start("stores").await?;
        let etcd = SecureEtcd::start("stores").await?;
        let client = server.client().await;
        crd_install::install(&client).await.unwrap();
        let writes = Writes::default();
        let ctx = context(writes.through(client.clone()));
        Some(Self {
            stores: Api::all(client.clone()),
            writes,
            ctx,
            etcd,
            _client: client,
            _server: server,
        })
    }

    async fn pass(&self) -> DataStore {
        let store = self.stores.get("default").await.unwrap();
        reconcile(Arc::new(store), Arc::clone(&self.ctx))
            .await
            .unwrap();
        self.stores.get("default").await.unwrap()
    }

    async fn edit(&self, patch: Value) {
        self.stores
            .patch("default", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

/// Status, reason and message of a condition.
fn told(store: &DataStore, kind: &str) -> (String, String, String) {
    let status = store.status.clone().unwrap();
    let held = status
        .conditions
        .into_iter()
        .find(|held| held.type_ == kind)
        .unwrap();
    (held.status, held.reason, held.message)
}

#[tokio::test]
async fn a_store_is_probed_confined_when_asked_and_left_alone_when_nothing_changed() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster
        .stores
        .create(
            &PostParams::default(),
            &data_store("default", &cluster.etcd),
        )
        .await
        .unwrap();
    let store = cluster.pass().await;
    assert!(store.status.clone().unwrap().ready);
    let (status, _, message) = told(&store, "Ready");
    assert_eq!(status, "True");
    assert!(
        message.contains("not enforced") && message.contains("kamaji.clastix.io/enforce-users"),
        "{message}"
    );
    assert_eq!(
        told(&store, "kamaji.clastix.io/DataStoreValidation").1,
        "DataStoreIsValid"
    );
    assert_eq!(
        told(&store, "kamaji.clastix.io/DataStoreAllowedDeletion").1,
        "DataStoreUnused"
    );

    cluster.writes.take();
    cluster.pass().await;
    assert_eq!(cluster.writes.take(), Vec::<String>::new());

    cluster
        .edit(
            json!({ "metadata": { "annotations": { "kamaji.clastix.io/enforce-users": "true" } } }),
        )
        .await;
    let store = cluster.pass().await;
    assert!(told(&store, "Ready").2.contains("users are enforced"));
    let nobody = Etcd::connect(&[cluster.etcd.endpoint()], &cluster.etcd.tls("nobody"))
        .await
        .unwrap();
    nobody.put("/anything", "1").await.unwrap_err();
}

#[tokio::test]
async fn what_is_wrong_with_a_store_is_said_with_field_and_remedy() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let missing = json!({ "spec": { "tlsConfig": { "clientCertificate": { "privateKey": {
        "content": null, "secretReference": { "name": "gone", "namespace": "default", "keyPath": "tls.key" },
    }}}}});
    cluster
        .stores
        .create(
            &PostParams::default(),
            &data_store("default", &cluster.etcd),
        )
        .await
        .unwrap();
    cluster.edit(missing).await;
    let store = cluster.pass().await;
    let (status, reason, message) = told(&store, "Ready");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "DataStoreMisconfigured")
    );
    assert!(
        message.contains("spec.tlsConfig.clientCertificate.privateKey"),
        "{message}"
    );
    assert!(
        message.contains("Secret default/gone does not exist; create it"),
        "{message}"
    );

    let elsewhere = data_store("default", &cluster.etcd);
    cluster
        .edit(json!({ "spec": { "tlsConfig": elsewhere.spec.tls_config } }))
        .await;
    cluster
        .edit(json!({ "spec": { "endpoints": ["127.0.0.1:1"] } }))
        .await;
    let store = cluster.pass().await;
    let (_, reason, message) = told(&store, "Ready");
    assert_eq!(reason, "Unreachable");
    assert!(
        message.contains("127.0.0.1:1") && message.contains("check spec.endpoints"),
        "{message}"
    );
}
