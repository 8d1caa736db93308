//! Leases: how servers find out, and tell agents, how many they are.
//! In: a Kubernetes client, our id, the leases there. Out: our lease kept alive, expired ones gone, the number of live ones.
//! [`plan`] decides from what was read and the time; the loop below it only carries out. It runs on the control runtime.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::LeaseMetrics;
use super::settings;
use crate::backoff::Backoff;
use crate::drain::Watcher;
use crate::kube_client::{KubeClient, KubeError};

/// A lease that is not renewed for this long is dead.
const DURATION: i32 = 30;
/// Time between two renewals, which also count and collect.
const PERIOD: Duration = Duration::from_secs(15);
/// What the API server gets to answer one request.
const REQUEST: Duration = Duration::from_secs(10);

/// Runs until the drain begins, then removes our lease.
pub(crate) async fn keep(keeper: Keeper, live: watch::Sender<usize>, mut drain: Watcher) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(7));
    loop {
        let delay = match keeper.turn().await {
            Ok(count) => {
                backoff.reset();
                keeper.metrics.counted(count);
                live.send_replace(count);
                PERIOD + PERIOD.mul_f64(0.04 * rand::random::<f64>())
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "leases are not kept");
                backoff.next(rand::random())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = drain.draining() => break,
        }
    }
    keeper.withdraw().await;
}

/// What a turn needs.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    kube: Arc<KubeClient>,
    namespace: String,
    server_id: String,
    labels: Vec<(String, String)>,
    metrics: LeaseMetrics,
}

/// A request about leases failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    /// The API server refused or was not there.
    #[error("cannot {verb} lease")]
    Api {
        /// The request.
        verb: &'static str,
        /// Its answer.
        source: kube::Error,
    },
    /// There is no way to the API server.
    #[error("no client for leases")]
    Client(#[source] KubeError),
    /// The API server did not answer.
    #[error("cannot {verb} lease: no answer within {REQUEST:?}")]
    Silent {
        /// The request.
        verb: &'static str,
    },
}

/// What the planner must know about a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    name: String,
    version: Option<String>,
    expires: Option<Timestamp>,
}

/// What one turn does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Leases that nobody renewed.
    pub(crate) expired: Vec<Seen>,
    /// Live servers, this one included.
    pub(crate) live: usize,
}

/// Sorts leases into living and expired; our own is alive because we are.
pub(crate) fn plan(own: &str, seen: Vec<Seen>, now: Timestamp) -> Plan {
    let (others, _own): (Vec<_>, Vec<_>) = seen.into_iter().partition(|lease| lease.name != own);
    let (live, expired): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|lease| lease.expires.is_some_and(|end| end > now));
    Plan {
        expired,
        live: live.len() + 1,
    }
}

impl Seen {
    fn of(lease: Lease) -> Self {
        let spec = lease.spec.unwrap_or_default();
        let since = spec.renew_time.or(spec.acquire_time);
        let seconds = spec.lease_duration_seconds.unwrap_or_default();
        let expires = since.and_then(|MicroTime(since)| {
            since
                .checked_add(SignedDuration::from_secs(i64::from(seconds)))
                .ok()
        });
        Self {
            name: lease.metadata.name.unwrap_or_default(),
            version: lease.metadata.resource_version,
            expires,
        }
    }
}

impl Keeper {
    /// Keeps the leases that the settings name.
    pub(crate) fn new(
        kube: Arc<KubeClient>,
        server_id: String,
        leases: &settings::Leases,
        metrics: LeaseMetrics,
    ) -> Self {
        let (namespace, labels) = (leases.namespace.clone(), leases.labels.clone());
        Self {
            kube,
            namespace,
            server_id,
            labels,
            metrics,
        }
    }

    /// Renews ours, lists all, deletes the dead; answers how many live.
    pub(crate) async fn turn(&self) -> Result<usize, LeaseError> {
        let api = self.api().await?;
        self.publish(&api).await?;
        let seen = self.list(&api).await?;
        let plan = plan(&self.name(), seen, Timestamp::now());
        for lease in &plan.expired {
            self.collect(&api, lease).await;
        }
        Ok(plan.live)
    }

    /// Our lease goes first, so that agents stop waiting for us while connections still end.
    pub(crate) async fn withdraw(&self) {
        let deleted = match self.api().await {
            Ok(api) => answer("delete", api.delete(&self.name(), &DeleteParams::default())).await,
            Err(error) => Err(error),
        };
        match deleted {
            Ok(_) => tracing::info!(lease = self.name(), "lease withdrawn"),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "lease not withdrawn: agents count it until it expires"
                );
            }
        }
    }

    async fn api(&self) -> Result<Api<Lease>, LeaseError> {
        let client = self.kube.client().await.map_err(LeaseError::Client)?;
        Ok(Api::namespaced(client, &self.namespace))
    }

    async fn publish(&self, api: &Api<Lease>) -> Result<(), LeaseError> {
        let name = self.name();
        let found = answer("get", api.get_opt(&name)).await?;
        let version = found.and_then(|lease| lease.metadata.resource_version);
        let lease = self.lease(version.clone(), Timestamp::now());
        match version {
            Some(_) => answer("renew", api.replace(&name, &PostParams::default(), &lease)).await,
            None => answer("create", api.create(&PostParams::default(), &lease)).await,
        }
        .map(drop)
    }

    async fn list(&self, api: &Api<Lease>) -> Result<Vec<Seen>, LeaseError> {
        let selector: Vec<String> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let started = Instant::now();
        let listed = answer(
            "list",
            api.list(&ListParams::default().labels(&selector.join(","))),
        )
        .await;
        self.metrics.listed(status(&listed), started.elapsed());
        Ok(listed?.items.into_iter().map(Seen::of).collect())
    }

    /// Deletes a lease unless it was renewed since it was read.
    async fn collect(&self, api: &Api<Lease>, lease: &Seen) {
        let unchanged = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: lease.version.clone(),
                uid: None,
            }),
            ..DeleteParams::default()
        };
        let started = Instant::now();
        let deleted = answer("delete", api.delete(&lease.name, &unchanged)).await;
        self.metrics.deleted(status(&deleted), started.elapsed());
        match deleted {
            Ok(_) => {
                self.metrics.culled();
                tracing::info!(lease = lease.name, "expired lease deleted");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(lease = lease.name, error, "expired lease not deleted");
            }
        }
    }

    fn name(&self) -> String {
        format!("konnectivity-proxy-server-{}", self.server_id)
    }

    fn lease(&self, version: Option<String>, now: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name()),
                labels: Some(self.labels.iter().cloned().collect()),
                resource_version: version,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.server_id.clone()),
                lease_duration_seconds: Some(DURATION),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        }
    }
}

async fn answer<T>(
    verb: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, LeaseError> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answered) => answered.map_err(|source| LeaseError::Api { verb, source }),
        Err(_elapsed) => Err(LeaseError::Silent { verb }),
    }
}

/// The answer's status code and reason, as the metric's labels.
fn status<T>(answered: &Result<T, LeaseError>) -> (u16, &str) {
    match answered {
        Ok(_) => (200, ""),
        Err(LeaseError::Api {
            source: kube::Error::Api(status),
            ..
        }) => (status.code, &status.reason),
        Err(_) => (0, "Unknown"),
    }
}

#[cfg(test)]
mod tests;
