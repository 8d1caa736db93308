//! The management side against a real kube-apiserver and a real etcd: the life of a tenant control plane, and that a
//! pass over something unchanged writes nothing.

mod adoption;
mod deletion;
mod faults;
mod peers;
mod taken_over;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use operator::api::DataStore;
use operator::api::tenant_control_plane_status::LifeStage;
use operator::context::Context;
use operator::crd_install;
use serde_json::json;

use crate::support::document_manifest;
use crate::support::kube_api::KubeApi;
use crate::support::management::{Tenant, Writes, context, data_store, status_path};
use crate::support::secure_etcd::SecureEtcd;

/// A management cluster with the operator's definitions and a store.
struct Cluster {
    client: Client,
    writes: Writes,
    ctx: Arc<Context>,
    etcd: SecureEtcd,
    _server: KubeApi,
}

impl Cluster {
    async fn start(test: &str) -> Option<Self> {
        let server = KubeApi::start(test).await?;
        let etcd = SecureEtcd::start(test).await?;
        let client = server.client().await;
        crd_install::install(&client).await.unwrap();
        let stores: Api<DataStore> = Api::all(client.clone());
        stores
            .create(&PostParams::default(), &data_store("default", &etcd))
            .await
            .unwrap();
        let writes = Writes::default();
        let ctx = context(writes.through(client.clone()));
        Some(Self {
            client,
            writes,
            ctx,
            etcd,
            _server: server,
        })
    }

    /// The manifest of the documents, exposed, with every object there.
    async fn serving(&self) -> Tenant {
        let tenant = Tenant::create(&self.client, &document_manifest()).await;
        tenant.pass(&self.ctx).await.unwrap();
        tenant.expose("192.0.2.10").await;
        tenant.pass(&self.ctx).await.unwrap();
        self.writes.take();
        tenant
    }

    fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }
}

#[tokio::test]
async fn a_tenant_comes_to_be_step_by_step_and_an_unchanged_one_is_not_written() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = Tenant::create(&cluster.client, &document_manifest()).await;
    tenant.pass(&cluster.ctx).await.unwrap();
    let (status, reason, message) = tenant.condition("EndpointReady").await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "LoadBalancerPending")
    );
    assert!(message.contains("spec.networkProfile.address"), "{message}");
    assert_eq!(
        tenant.names::<Secret>().await,
        Vec::<String>::new(),
        "nothing is issued before the endpoint is known"
    );

    tenant.expose("192.0.2.10").await;
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(tenant.names::<Secret>().await.len(), 14);
    assert_eq!(tenant.names::<ConfigMap>().await.len(), 2);
    assert_eq!(
        tenant.names::<Deployment>().await,
        std::slice::from_ref(&tenant.name)
    );
    assert_eq!(
        tenant.names::<PodDisruptionBudget>().await,
        std::slice::from_ref(&tenant.name)
    );
    let tcp = tenant.read().await;
    let status = tcp.status.clone().unwrap();
    assert_eq!(
        status.control_plane_endpoint.as_deref(),
        Some("192.0.2.10:6443")
    );
    assert_eq!(status.observed_generation, tcp.metadata.generation);
    assert_eq!(
        status.storage.unwrap().setup.unwrap().schema,
        tcp.uid(),
        "the schema is the UID"
    );
    assert_eq!(tenant.condition("CertificatesValid").await.0, "True");
    assert_eq!(
        tenant.condition("ControlPlaneAvailable").await.1,
        "PodsNotReady"
    );

    cluster.writes.take();
    for _pass in 0..2 {
        tenant.pass(&cluster.ctx).await.unwrap();
        assert_eq!(cluster.writes.take(), Vec::<String>::new());
    }
    // Another operator process starts with nothing in memory.
    tenant
        .pass(&context(cluster.writes.through(cluster.client.clone())))
        .await
        .unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());
}

#[tokio::test]
async fn what_somebody_changes_or_deletes_is_put_back_and_nothing_else_is_touched() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    let services: Api<Service> = cluster.namespaced();
    let selector = json!([{ "op": "replace", "path": "/spec/selector", "value": { "a": "b" } }]);
    let patch = Patch::Json::<()>(serde_json::from_value(selector).unwrap());
    services
        .patch(&tenant.name, &PatchParams::default(), &patch)
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(
        cluster.writes.take(),
        [format!(
            "PATCH /api/v1/namespaces/default/services/{}",
            tenant.name
        )]
    );
    let selector = services
        .get(&tenant.name)
        .await
        .unwrap()
        .spec
        .unwrap()
        .selector
        .unwrap();
    assert_eq!(
        selector.into_iter().collect::<Vec<_>>(),
        [("kamaji.clastix.io/name".to_owned(), tenant.name.clone())]
    );

    // Somebody else's annotation and label are theirs.
    let note = json!({ "metadata": { "annotations": { "note": "mine" } } });
    services
        .patch(&tenant.name, &PatchParams::default(), &Patch::Merge(note))
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());

    let secrets: Api<Secret> = cluster.namespaced();
    let name = format!("{}-scheduler-kubeconfig", tenant.name);
    secrets
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    let written = cluster.writes.take();
    assert_eq!(
        written.first().unwrap(),
        &format!("PATCH /api/v1/namespaces/default/secrets/{name}")
    );
    assert!(
        written.iter().all(|write| write.contains(&name)
            || write.contains("/status")
            || write.contains("/deployments/")),
        "{written:?}"
    );
}

#[tokio::test]
async fn removing_the_addon_leaves_no_trace_of_it() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    tenant
        .edit(json!({ "spec": { "addons": { "konnectivity": null } } }))
        .await;
    tenant.pass(&cluster.ctx).await.unwrap();
    let secrets = tenant.names::<Secret>().await;
    assert_eq!(secrets.len(), 11, "{secrets:?}");
    assert_eq!(
        tenant.names::<ConfigMap>().await,
        [format!("{}-kubeadmconfig", tenant.name)]
    );
    let service = cluster
        .namespaced::<Service>()
        .get(&tenant.name)
        .await
        .unwrap();
    let ports: Vec<_> = service
        .spec
        .unwrap()
        .ports
        .unwrap()
        .into_iter()
        .map(|port| port.port)
        .collect();
    assert_eq!(ports, [6443]);
    let deployment = cluster
        .namespaced::<Deployment>()
        .get(&tenant.name)
        .await
        .unwrap();
    let template = serde_json::to_string(&deployment.spec.unwrap().template).unwrap();
    assert!(
        !template.contains("konnectivity-server") && !template.contains("egress"),
        "{template}"
    );
    cluster.writes.take();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());
}

#[tokio::test]
async fn a_tenant_sleeps_wakes_moves_on_and_refuses_to_skip_a_version() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    let replicas =
        |count: i32| json!({ "spec": { "controlPlane": { "deployment": { "replicas": count } } } });
    let stage = async || {
        tenant
            .read()
            .await
            .status
            .unwrap()
            .kubernetes_resources
            .unwrap()
            .version
            .unwrap()
    };
    tenant.edit(replicas(0)).await;
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(stage().await.status, LifeStage::Sleeping);
    assert_eq!(tenant.condition("Ready").await.1, "Sleeping");
    let installed = stage().await.version;
    assert_eq!(installed.as_deref(), Some("v1.33.0"));

    tenant
        .edit(json!({ "spec": { "kubernetes": { "version": "v1.35.0" } } }))
        .await;
    tenant.pass(&cluster.ctx).await.unwrap_err();
    let (_, reason, message) = tenant.condition("Ready").await;
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.contains("spec.kubernetes.version") && message.contains("v1.34"),
        "{message}"
    );

    tenant
        .edit(json!({ "spec": { "kubernetes": { "version": "v1.34.0" } } }))
        .await;
    tenant.edit(replicas(1)).await;
    tenant.pass(&cluster.ctx).await.unwrap();
    let deployments: Api<Deployment> = cluster.namespaced();
    let deployment = deployments.get(&tenant.name).await.unwrap();
    let one = json!({ "status": {
        "observedGeneration": deployment.metadata.generation,
        "replicas": 2, "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "unavailableReplicas": 1,
    }});
    deployments
        .patch_status(&tenant.name, &PatchParams::default(), &Patch::Merge(one))
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(stage().await.status, LifeStage::Upgrading);
    assert_eq!(tenant.condition("Progressing").await.1, "Upgrading");
    let done = json!({ "status": { "replicas": 1, "unavailableReplicas": null } });
    deployments
        .patch_status(&tenant.name, &PatchParams::default(), &Patch::Merge(done))
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(stage().await.status, LifeStage::Ready);
    assert_eq!(stage().await.version.as_deref(), Some("v1.34.0"));
    assert_eq!(tenant.condition("ControlPlaneAvailable").await.0, "True");
}

#[tokio::test]
async fn a_paused_tenant_is_left_alone() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let tenant = cluster.serving().await;
    tenant
        .edit(json!({ "metadata": { "annotations": { "kamaji.clastix.io/paused": "" } } }))
        .await;
    cluster
        .namespaced::<Service>()
        .delete(&tenant.name, &DeleteParams::default())
        .await
        .unwrap();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), [status_path(&tenant.name)]);
    assert_eq!(tenant.condition("Progressing").await.1, "Paused");
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());
}
