//! Counts the servers by the Leases they publish in the tenant cluster.
//!
//! In: Leases, listed every ten seconds with the label selector at the API server's side. Out: a
//! watched number, `None` until the first list came. The tunnel never waits for it: the API server
//! may well be reachable only because the tunnel is up. Runs on the control runtime.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::LeaseMetrics;
use super::settings::LeaseSettings;
use crate::backoff::{Backoff, jittered};
use crate::kube_client::{KubeClient, KubeError};
use crate::telemetry::chain;

/// Between two lists.
const PERIOD: Duration = Duration::from_secs(10);
/// Between two tries while the API server does not answer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Why there is no count.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("no way to the API server")]
    Client(#[from] KubeError),
    #[error("cannot list leases with selector {selector:?} in namespace {namespace}")]
    List {
        selector: String,
        namespace: String,
        #[source]
        source: Box<kube::Error>,
    },
}

/// Counts until nobody listens any more.
pub async fn count(
    settings: LeaseSettings,
    metrics: LeaseMetrics,
    counted: watch::Sender<Option<usize>>,
) {
    let kube = KubeClient::new(settings.kubeconfig.clone());
    let mut backoff = Backoff::new(Duration::from_secs(1), LONGEST_BACKOFF);
    loop {
        let delay = match list(&kube, &settings, &metrics).await {
            Ok(leases) => {
                backoff.reset();
                let valid = valid(&leases, Timestamp::now());
                counted.send_if_modified(|count| count.replace(valid) != Some(valid));
                jittered(PERIOD, rand::random())
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(
                    error,
                    "servers cannot be counted by leases; keeping the last count"
                );
                backoff.next(rand::random())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = counted.closed() => return,
        }
    }
}

async fn list(
    kube: &KubeClient,
    settings: &LeaseSettings,
    metrics: &LeaseMetrics,
) -> Result<Vec<Lease>, LeaseError> {
    let api: Api<Lease> = Api::namespaced(kube.client().await?, &settings.namespace);
    let begun = Instant::now();
    let answer = api
        .list(&ListParams::default().labels(&settings.selector))
        .await;
    let (code, reason) = match &answer {
        Ok(_) => ("200".to_owned(), String::new()),
        Err(kube::Error::Api(status)) => (status.code.to_string(), status.reason.clone()),
        Err(_) => ("0".to_owned(), "NoAnswer".to_owned()),
    };
    metrics.lists.with_label_values(&[&code, &reason]).inc();
    let latency = metrics.list_latency.with_label_values(&[&code]);
    latency.observe(begun.elapsed().as_secs_f64());
    answer
        .map(|list| list.items)
        .map_err(|source| LeaseError::List {
            selector: settings.selector.clone(),
            namespace: settings.namespace.clone(),
            source: Box::new(source),
        })
}

/// How many Leases hold at `now`: renewed (or else acquired) less than their duration ago.
fn valid(leases: &[Lease], now: Timestamp) -> usize {
    leases
        .iter()
        .filter(|lease| holds(lease, now).unwrap_or(false))
        .count()
}

fn holds(lease: &Lease, now: Timestamp) -> Option<bool> {
    let spec = lease.spec.as_ref()?;
    let touched = spec.renew_time.as_ref().or(spec.acquire_time.as_ref())?.0;
    let duration = spec.lease_duration_seconds?;
    Some(touched.as_second() + i64::from(duration) > now.as_second())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::StatusCode;
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::admin::{self, Pages, text};
    use crate::agent::metrics::Metrics;

    /// An API server that fails as told, then has one valid Lease; and its kubeconfig.
    async fn api_server(failures: Vec<u16>) -> (tempfile::NamedTempFile, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let left = Mutex::new(failures);
        let pages = Pages::new().at(PATH, move |request| {
            let selector = request.uri.query().unwrap_or_default();
            assert!(
                selector.contains("labelSelector=k8s-app%3Dkonnectivity-server"),
                "{selector}"
            );
            let failure = left.lock().unwrap().pop();
            let (code, body) = match failure {
                Some(code) => (code, failure_body(code)),
                None => (200, lease_list()),
            };
            text(StatusCode::from_u16(code).unwrap(), body.to_string())
        });
        let mut serving = JoinSet::new();
        serving.spawn(admin::serve(listener, pages));
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": server}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        });
        std::fs::write(kubeconfig.path(), config.to_string()).unwrap();
        (kubeconfig, serving)
    }

    fn failure_body(code: u16) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": "Provoked", "message": "no"})
    }

    fn lease_list() -> Value {
        let renewed = (Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
        json!({"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "metadata": {},
            "items": [{"metadata": {"name": "konnectivity-proxy-server-a"},
                "spec": {"renewTime": renewed, "leaseDurationSeconds": 30}}]})
    }

    const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

    #[tokio::test]
    async fn an_api_server_in_trouble_delays_the_count_and_is_counted() {
        let (kubeconfig, _serving) = api_server(vec![410, 429, 500]).await;
        let settings = LeaseSettings {
            namespace: "kube-system".to_owned(),
            selector: "k8s-app=konnectivity-server".to_owned(),
            kubeconfig: Some(kubeconfig.path().to_owned()),
        };
        let metrics = Metrics::new();
        let (counted, mut seen) = watch::channel(None);
        let mut counting = JoinSet::new();
        counting.spawn(count(settings, metrics.leases.clone(), counted));
        let limit = Duration::from_secs(20);
        let found = seen.wait_for(|count| *count == Some(1));
        drop(
            tokio::time::timeout(limit, found)
                .await
                .expect("counted at last")
                .unwrap(),
        );
        // The client itself tries again after 429.
        for code in ["410", "500"] {
            let failed = metrics.leases.lists.with_label_values(&[code, "Provoked"]);
            assert_eq!(failed.get(), 1, "{code}");
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn lease(renewed: Option<i64>, acquired: Option<i64>, duration: Option<i32>) -> Lease {
        let spec = LeaseSpec {
            renew_time: renewed.map(|second| MicroTime(at(second))),
            acquire_time: acquired.map(|second| MicroTime(at(second))),
            lease_duration_seconds: duration,
            ..LeaseSpec::default()
        };
        Lease {
            spec: Some(spec),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lease_counts_until_its_duration_after_the_last_renewal() {
        let leases = [
            lease(Some(100), Some(1), Some(30)),
            lease(Some(99), None, Some(30)),
            lease(None, Some(110), Some(30)),
            lease(None, None, Some(30)),
            lease(Some(100), None, None),
            Lease::default(),
        ];
        assert_eq!(valid(&leases, at(120)), 3);
        assert_eq!(valid(&leases, at(129)), 2);
        assert_eq!(valid(&leases, at(141)), 0);
    }
}
