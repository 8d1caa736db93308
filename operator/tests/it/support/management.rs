//! A management cluster for the reconciler: a client that notes what is written through it, and the context of a pass.

use std::sync::{Arc, Mutex};

use clap::Parser as _;
use http::{Method, Request};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::core::ObjectMeta;
use kube::runtime::events::Reporter;
use kube::runtime::reflector;
use kube::{Api, Resource as _, ResourceExt as _};
use operator::api::{DataStore, TenantControlPlane};
use operator::args::Args;
use operator::context::Context;
use operator::events::Events;
use operator::metrics::Metrics;
use operator::tenant_control_plane::{Error, reconcile};
use serde_json::{Value, json};

use super::manifest;
use super::secure_etcd::SecureEtcd;

/// The time at which tests happen.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// What was written, as `METHOD path`; Events are not counted, they are news and not state.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    /// Everything since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// A client that notes its writes here and passes everything on.
    pub(crate) fn through(&self, client: Client) -> Client {
        let writes = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path().to_owned();
            if request.method() != Method::GET && !path.contains("/events") {
                writes
                    .0
                    .lock()
                    .unwrap()
                    .push(format!("{} {path}", request.method()));
            }
            let client = client.clone();
            async move { client.send(request).await }
        });
        Client::new(service, "default")
    }
}

/// The context of passes through `client`, with the operator's default settings.
pub(crate) fn context(client: Client) -> Arc<Context> {
    let settings = Args::try_parse_from(["warren-operator"])
        .unwrap()
        .settle()
        .unwrap();
    let (tenants, _) = reflector::store();
    let (data_stores, _) = reflector::store();
    let reporter = Reporter {
        controller: "test".to_owned(),
        instance: None,
    };
    Arc::new(Context {
        events: Events::new(client.clone(), reporter),
        client,
        settings: Arc::new(settings),
        metrics: Arc::new(Metrics::new()),
        failures: Arc::default(),
        connections: Arc::default(),
        tenants,
        data_stores,
        now,
    })
}

/// A `DataStore` for a real etcd.
pub(crate) fn data_store(name: &str, etcd: &SecureEtcd) -> DataStore {
    let (certificate, key) = etcd.authority().sign("root");
    let content = |text: &str| {
        use base64::Engine as _;
        json!({ "content": base64::engine::general_purpose::STANDARD.encode(text) })
    };
    serde_json::from_value(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": { "name": name },
        "spec": {
            "driver": "etcd",
            "endpoints": [etcd.endpoint()],
            "tlsConfig": {
                "certificateAuthority": {
                    "certificate": content(&etcd.authority().certificate),
                    "privateKey": content(&etcd.authority().key),
                },
                "clientCertificate": { "certificate": content(&certificate), "privateKey": content(&key) },
            },
        },
    }))
    .unwrap()
}

/// The same, with authority and root's pair in the Secret `default/etcd`.
pub(crate) fn data_store_by_reference(name: &str, endpoint: &str) -> DataStore {
    let part = |key: &str| json!({ "secretReference": { "name": "etcd", "namespace": "default", "keyPath": key } });
    serde_json::from_value(json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "DataStore",
        "metadata": { "name": name },
        "spec": { "driver": "etcd", "endpoints": [endpoint], "tlsConfig": {
            "certificateAuthority": { "certificate": part("ca.crt"), "privateKey": part("ca.key") },
            "clientCertificate": { "certificate": part("root.crt"), "privateKey": part("root.key") },
        } },
    }))
    .unwrap()
}

/// One tenant control plane in the namespace `default`.
pub(crate) struct Tenant {
    /// Its API, past the counting.
    pub(crate) api: Api<TenantControlPlane>,
    /// Its name.
    pub(crate) name: String,
    client: Client,
}

impl Tenant {
    /// Creates it.
    pub(crate) async fn create(client: &Client, tcp: &TenantControlPlane) -> Self {
        let api: Api<TenantControlPlane> = Api::namespaced(client.clone(), "default");
        api.create(&kube::api::PostParams::default(), tcp)
            .await
            .unwrap();
        Self {
            api,
            name: tcp.name_any(),
            client: client.clone(),
        }
    }

    /// One pass.
    pub(crate) async fn pass(&self, ctx: &Arc<Context>) -> Result<(), Error> {
        let stub = TenantControlPlane {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some("default".to_owned()),
                ..ObjectMeta::default()
            },
            spec: operator::api::TenantControlPlaneSpec::default(),
            status: None,
        };
        reconcile(Arc::new(stub), Arc::clone(ctx)).await.map(drop)
    }

    /// It as it is now.
    pub(crate) async fn read(&self) -> TenantControlPlane {
        self.api.get(&self.name).await.unwrap()
    }

    /// Edits it.
    pub(crate) async fn edit(&self, patch: Value) {
        self.api
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Status, reason and message of a condition.
    pub(crate) async fn condition(&self, kind: &str) -> (String, String, String) {
        let status = self.read().await.status.unwrap_or_default();
        let held = status
            .conditions
            .into_iter()
            .find(|held| held.type_ == kind);
        let held = held.unwrap_or_else(|| panic!("{} has no condition {kind}", self.name));
        (held.status, held.reason, held.message)
    }

    /// Does what a load balancer does.
    pub(crate) async fn expose(&self, address: &str) {
        let services: Api<k8s_openapi::api::core::v1::Service> =
            Api::namespaced(self.client.clone(), "default");
        let patch = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
        services
            .patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// The names of the objects of one kind that are there.
    pub(crate) async fn names<K>(&self) -> Vec<String>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), "default");
        let selector = format!("kamaji.clastix.io/name={}", self.name);
        let list = api
            .list(&kube::api::ListParams::default().labels(&selector))
            .await
            .unwrap();
        list.items.iter().map(kube::ResourceExt::name_any).collect()
    }
}

/// Where an object of ours is, as [`Writes`] notes it.
pub(crate) fn status_path(name: &str) -> String {
    let plural = TenantControlPlane::plural(&());
    format!("PATCH /apis/kamaji.clastix.io/v1alpha1/namespaces/default/{plural}/{name}/status")
}

/// A small tenant control plane, exposed as asked.
pub(crate) fn named(name: &str, service_type: &str, port: u16) -> TenantControlPlane {
    manifest(&format!(
        r"
apiVersion: kamaji.clastix.io/v1alpha1
kind: TenantControlPlane
metadata: {{name: {name}, namespace: default}}
spec:
  controlPlane: {{deployment: {{replicas: 1}}, service: {{serviceType: {service_type}}}}}
  kubernetes: {{version: v1.33.0}}
  networkProfile: {{port: {port}}}
"
    ))
}

/// One that is reached at its cluster address, so that it comes to be without anybody's help.
pub(crate) fn cluster_ip_tenant(name: &str) -> TenantControlPlane {
    named(name, "ClusterIP", 6443)
}
