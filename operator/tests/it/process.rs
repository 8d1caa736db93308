//! The whole program against a real kube-apiserver and etcd: what wakes it, how much one tenant costs the others, and
//! who works when there are two of it.

mod rotation;

use std::net::TcpListener;
use std::time::Duration;

use clap::Parser as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use operator::api::condition::{ConditionType, Reason, find};
use operator::api::{DataStore, TenantControlPlane};
use operator::args::Args;
use operator::labels::PAUSED;
use operator::run::{RunError, Shutdown, Trigger, run};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::kube_api::KubeApi;
use crate::support::management::{cluster_ip_tenant, data_store};
use crate::support::secure_etcd::SecureEtcd;

/// Nothing here takes longer, also on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// One operator, in this process.
struct Operator {
    trigger: Trigger,
    running: JoinSet<Result<(), RunError>>,
    metrics: u16,
}

impl Operator {
    fn start(kubeconfig: &std::path::Path, pod: &str) -> Self {
        let [metrics, health] = [(); 2].map(|()| {
            let held = TcpListener::bind("127.0.0.1:0").unwrap();
            held.local_addr().unwrap().port()
        });
        let settings = Args::try_parse_from([
            "warren-operator".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--pod-name={pod}"),
            "--operator-namespace=default".to_owned(),
            format!("--metrics-bind-address=127.0.0.1:{metrics}"),
            format!("--health-probe-bind-address=127.0.0.1:{health}"),
            "--webhook-bind-address=0".to_owned(),
        ]);
        let (trigger, shutdown) = Shutdown::new();
        let mut running = JoinSet::new();
        running.spawn(run(settings.unwrap().settle().unwrap(), shutdown));
        Self {
            trigger,
            running,
            metrics,
        }
    }

    /// Asks it to end and waits until it has.
    async fn stop(mut self) {
        self.trigger.ask();
        let ended = timeout(PATIENCE, self.running.join_next())
            .await
            .expect("it ends when asked");
        ended.unwrap().unwrap().unwrap();
    }

    /// How many passes over tenant control planes there were.
    async fn passes(&self) -> u64 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", self.metrics))
            .await
            .unwrap();
        socket
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut page = String::new();
        socket.read_to_string(&mut page).await.unwrap();
        let series = "warren_reconcile_total{controller=\"tenant_control_plane\"";
        let counts = page.lines().filter(|line| line.starts_with(series));
        counts
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

/// Counts the passes over everything but its own mark.
struct Meter<'a> {
    operator: &'a Operator,
    cluster: &'a Cluster,
    /// How often `alpha` was marked.
    marks: u64,
}

impl Meter<'_> {
    /// The passes there were when nothing was left to do. A tenant that is paused and let go costs two and wakes nobody:
    /// when no more than two were made meanwhile, nobody else had anything to do.
    async fn at_rest(&mut self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.operator.passes().await;
            self.cluster.pause("alpha", Some("")).await;
            self.cluster.pause("alpha", None).await;
            self.marks += 1;
            // What is written is seen a moment before it is counted.
            let mut now = self.operator.passes().await;
            while now < before + 2 {
                assert!(
                    Instant::now() < deadline,
                    "the mark cost no two passes: {now}"
                );
                sleep(Duration::from_millis(20)).await;
                now = self.operator.passes().await;
            }
            if now == before + 2 {
                return now - 2 * self.marks;
            }
            assert!(Instant::now() < deadline, "passes go on and on: {now}");
        }
    }
}

struct Cluster {
    client: Client,
    kubeconfig: tempfile::NamedTempFile,
    etcd: SecureEtcd,
    _server: KubeApi,
}

impl Cluster {
    async fn start(test: &str) -> Option<Self> {
        let server = KubeApi::start(test).await?;
        let etcd = SecureEtcd::start(test).await?;
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), server.kubeconfig().to_string()).unwrap();
        Some(Self {
            client: server.client().await,
            kubeconfig,
            etcd,
            _server: server,
        })
    }

    fn operator(&self, pod: &str) -> Operator {
        Operator::start(self.kubeconfig.path(), pod)
    }

    fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates the default store, once there is a definition of it.
    async fn store(&self) {
        self.keep(&data_store("default", &self.etcd)).await;
    }

    async fn keep(&self, store: &DataStore) {
        let stores: Api<DataStore> = Api::all(self.client.clone());
        let created = async {
            while stores.create(&PostParams::default(), store).await.is_err() {
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(PATIENCE, created)
            .await
            .expect("the operator brings its definitions");
    }

    /// Waits until the store says that so many use it.
    async fn counts(&self, users: usize) {
        let stores: Api<DataStore> = Api::all(self.client.clone());
        let counted = await_condition(stores, "default", move |store: Option<&DataStore>| {
            let status = store.and_then(|store| store.status.as_ref());
            status.is_some_and(|status| status.used_by.len() == users)
        });
        timeout(PATIENCE, counted)
            .await
            .expect("a store counts its users")
            .unwrap();
    }

    /// Pauses a tenant by the annotation's value or lets it go on, and waits until its status says so.
    async fn pause(&self, name: &str, value: Option<&str>) {
        let tenants: Api<TenantControlPlane> = self.namespaced();
        let patch = json!({ "metadata": { "annotations": { PAUSED: value } } });
        tenants
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
        let wanted = value.is_some();
        let said = await_condition(tenants, name, move |tcp: Option<&TenantControlPlane>| {
            let status = tcp.and_then(|tcp| tcp.status.as_ref());
            let held = status.and_then(|it| find(&it.conditions, ConditionType::Progressing));
            held.is_some_and(|held| (held.reason == Reason::Paused.as_str()) == wanted)
        });
        timeout(PATIENCE, Box::pin(said))
            .await
            .expect("the status says whether a tenant is paused")
            .unwrap();
    }

    async fn tenant(&self, name: &str) {
        let tenants: Api<TenantControlPlane> = self.namespaced();
        tenants
            .create(&PostParams::default(), &cluster_ip_tenant(name))
            .await
            .unwrap();
        self.appears::<Deployment>(name).await;
    }

    async fn appears<K>(&self, name: &str)
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + 'static,
    {
        let is_there = await_condition(self.namespaced::<K>(), name, |object: Option<&K>| {
            object.is_some()
        });
        timeout(PATIENCE, is_there)
            .await
            .unwrap_or_else(|_| panic!("{} {name} appears", K::kind(&())))
            .unwrap();
    }
}

#[tokio::test]
async fn it_follows_what_happens_and_one_tenant_costs_the_others_nothing() {
    let Some(cluster) = Cluster::start("operator").await else {
        return;
    };
    let operator = cluster.operator("one");
    cluster.store().await;
    cluster.tenant("alpha").await;

    let secrets: Api<Secret> = cluster.namespaced();
    secrets
        .delete("alpha-scheduler-kubeconfig", &DeleteParams::default())
        .await
        .unwrap();
    let deleted = Instant::now();
    cluster
        .appears::<Secret>("alpha-scheduler-kubeconfig")
        .await;
    assert!(
        deleted.elapsed() < Duration::from_secs(10),
        "put back after {:?}",
        deleted.elapsed()
    );

    cluster.counts(1).await;
    let mut meter = Meter {
        operator: &operator,
        cluster: &cluster,
        marks: 0,
    };
    let mut before = meter.at_rest().await;
    let mut costs = Vec::new();
    for (users, name) in (2..).zip(["beta", "gamma", "delta", "epsilon", "zeta"]) {
        cluster.tenant(name).await;
        // The last thing that a new tenant brings about.
        cluster.counts(users).await;
        let now = meter.at_rest().await;
        costs.push(now - before);
        before = now;
    }
    let (first, last) = (costs[0], costs[4]);
    assert!(
        last <= first + 2,
        "the fifth tenant costs what the first did: {costs:?}"
    );

    let store: DataStore = Api::all(cluster.client.clone())
        .get("default")
        .await
        .unwrap();
    let status = store.status.clone().unwrap();
    assert!(status.ready);
    assert_eq!(status.used_by.len(), 6, "{:?}", status.used_by);
    assert_eq!(
        store.finalizers(),
        ["kamaji.clastix.io/TenantControlPlane"],
        "a store in use is protected"
    );
    operator.stop().await;
}

#[tokio::test]
async fn one_of_two_works_and_the_other_takes_over_when_it_ends() {
    let Some(cluster) = Cluster::start("operator").await else {
        return;
    };
    let first = cluster.operator("one");
    cluster.store().await;
    let second = cluster.operator("two");
    cluster.tenant("alpha").await;
    assert!(first.passes().await > 0);
    assert_eq!(second.passes().await, 0, "it waits for the Lease");

    first.stop().await;
    let handed_over = Instant::now();
    cluster.tenant("beta").await;
    assert!(second.passes().await > 0);
    assert!(
        handed_over.elapsed() < Duration::from_secs(15),
        "after {:?}",
        handed_over.elapsed()
    );
    cluster.appears::<Service>("beta").await;
    second.stop().await;
}
