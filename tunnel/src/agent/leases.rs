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
                let error: &dyn std::error::Error = &error;
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
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

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
