//! Leader election: one operator works at a time, on the Lease that Kamaji's operator takes too, so that both never
//! work on the same tenants.
//!
//! [`Elector`] decides and knows no network: in, what the Lease says and how long ago *we* saw it change (clocks of
//! two machines are never compared); out, what to do. [`Holder`] carries it out. Losing the Lease ends the process:
//! that is the only stop that certainly stops everything. The Lease is in our namespace; `others` looks for operators
//! that hold theirs in another.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

mod others;

pub use others::{Other, Others};

/// Name of the Lease.
pub const NAME: &str = "kamaji.clastix.io";
/// A holder that did not renew for so long is taken for dead.
const DURATION: Duration = Duration::from_secs(15);
/// The holder gives up when it could not renew for so long: well before others take over.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often the Lease is looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// The Lease was lost, or never could be read.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it now.
    #[error(
        "the Lease {NAME} was taken by {holder:?}: this process ends so that two never work at once"
    )]
    Taken {
        /// Who has it.
        holder: String,
    },
    /// It could not be renewed in time.
    #[error("the Lease {NAME} could not be renewed for {} s: this process ends before another one takes over", DEADLINE.as_secs())]
    Lost,
}

/// What to do about the Lease now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write our name into it: it is ours, or free, or its holder is gone.
    Claim,
    /// Look again later.
    Wait,
    /// It was ours and is somebody else's.
    Yield(String),
}

/// Decides about the Lease from what was seen of it.
#[derive(Debug)]
pub struct Elector {
    identity: String,
    seen: Option<(LeaseSpec, Instant)>,
    is_leader: bool,
}

impl Elector {
    /// One that has seen nothing yet.
    #[must_use]
    pub const fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            is_leader: false,
        }
    }

    /// Takes in what the Lease says and decides.
    pub fn observe(&mut self, lease: Option<&LeaseSpec>, now: Instant) -> Decision {
        let Some(lease) = lease else {
            return Decision::Claim;
        };
        let changed = self.seen.as_ref().is_none_or(|(seen, _)| seen != lease);
        if changed {
            self.seen = Some((lease.clone(), now));
        }
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        if holder == self.identity || holder.is_empty() {
            return Decision::Claim;
        }
        if self.is_leader {
            return Decision::Yield(holder.to_owned());
        }
        let patience = lease
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DURATION, Duration::from_secs);
        match &self.seen {
            Some((_, since)) if now.duration_since(*since) >= patience => Decision::Claim,
            _ => Decision::Wait,
        }
    }

    /// Our claim was written.
    pub fn claimed(&mut self, lease: LeaseSpec, now: Instant) {
        self.seen = Some((lease, now));
        self.is_leader = true;
    }

    /// What a claim writes.
    #[must_use]
    pub fn claim(&self, held: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let mine = held.filter(|lease| lease.holder_identity.as_deref() == Some(&self.identity));
        let transitions = held
            .and_then(|lease| lease.lease_transitions)
            .unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: mine
                .and_then(|lease| lease.acquire_time.clone())
                .or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if mine.is_some() || held.is_none() {
                transitions
            } else {
                transitions + 1
            }),
            ..LeaseSpec::default()
        }
    }

    /// Whether the Lease is ours.
    #[must_use]
    pub const fn is_leader(&self) -> bool {
        self.is_leader
    }
}

/// The Lease of this process.
#[derive(Debug)]
pub struct Holder {
    api: Api<Lease>,
    everywhere: Api<Lease>,
    namespace: String,
    elector: Elector,
    renewed: Instant,
}

impl Holder {
    /// One that does not hold it yet.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self {
            everywhere: Api::all(client.clone()),
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            elector: Elector::new(identity),
            renewed: Instant::now(),
        }
    }

    /// Waits until no other operator works and the Lease is ours.
    pub async fn acquire(&mut self) {
        others::gone(&self.everywhere, &self.namespace).await;
        tracing::info!(
            lease = NAME,
            identity = self.elector.identity,
            "waiting for the Lease"
        );
        while !self.elector.is_leader() {
            if let Err(error) = self.turn().await {
                tracing::warn!(
                    error = crate::telemetry::chain(&error),
                    "the Lease cannot be taken now"
                );
            }
            if !self.elector.is_leader() {
                tokio::time::sleep(PERIOD).await;
            }
        }
        tracing::info!(lease = NAME, identity = self.elector.identity, "leading");
    }

    /// Keeps the Lease; returns only when it is lost.
    pub async fn keep(&mut self) -> Result<(), LeaseError> {
        loop {
            tokio::time::sleep(PERIOD).await;
            match tokio::time::timeout(DEADLINE / 2, self.turn()).await {
                Ok(Ok(Decision::Yield(holder))) => return Err(LeaseError::Taken { holder }),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = crate::telemetry::chain(&error),
                        "the Lease was not renewed"
                    );
                }
                Err(_elapsed) => tracing::warn!("the Lease was not renewed in time"),
            }
            if self.renewed.elapsed() > DEADLINE {
                return Err(LeaseError::Lost);
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub async fn release(&mut self) {
        if !self.elector.is_leader() {
            return;
        }
        let released = async {
            let mut lease = self.api.get(NAME).await?;
            if let Some(spec) = lease
                .spec
                .as_mut()
                .filter(|spec| spec.holder_identity.as_ref() == Some(&self.elector.identity))
            {
                spec.holder_identity = None;
                spec.lease_duration_seconds = Some(1);
                self.api
                    .replace(NAME, &PostParams::default(), &lease)
                    .await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Err(error) = released.await {
            tracing::warn!(
                error = crate::telemetry::chain(&error),
                "the Lease was not given back"
            );
        }
    }

    async fn turn(&mut self) -> Result<Decision, kube::Error> {
        let held = self.api.get_opt(NAME).await?;
        let spec = held.as_ref().and_then(|lease| lease.spec.as_ref());
        let decision = self.elector.observe(spec, Instant::now());
        if decision != Decision::Claim {
            return Ok(decision);
        }
        let claim = self.elector.claim(spec, Timestamp::now());
        let started = Instant::now();
        let lease = Lease {
            // The resource version makes sure that nobody wrote in between.
            metadata: held.map_or_else(
                || ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                |lease| lease.metadata,
            ),
            spec: Some(claim.clone()),
        };
        let written = if lease.metadata.resource_version.is_some() {
            self.api.replace(NAME, &PostParams::default(), &lease).await
        } else {
            self.api.create(&PostParams::default(), &lease).await
        };
        match written {
            Ok(lease) => {
                self.elector
                    .claimed(lease.spec.unwrap_or(claim), Instant::now());
                self.renewed = started;
                Ok(Decision::Claim)
            }
            // Somebody was quicker: the next look says who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Decision::Wait),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str, renewals: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            renew_time: Some(MicroTime(Timestamp::from_second(renewals).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_over_only_after_it_stood_still_for_its_duration() {
        let mut elector = Elector::new("me".into());
        let start = Instant::now();
        assert_eq!(
            elector.observe(Some(&held_by("other", 1)), start),
            Decision::Wait
        );
        let later = start + Duration::from_secs(14);
        assert_eq!(
            elector.observe(Some(&held_by("other", 2)), later),
            Decision::Wait
        );
        let still = later + Duration::from_secs(14);
        assert_eq!(
            elector.observe(Some(&held_by("other", 2)), still),
            Decision::Wait
        );
        let dead = later + Duration::from_secs(15);
        assert_eq!(
            elector.observe(Some(&held_by("other", 2)), dead),
            Decision::Claim
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_yields_when_somebody_else_is_named() {
        let mut elector = Elector::new("me".into());
        assert_eq!(elector.observe(None, Instant::now()), Decision::Claim);
        elector.claimed(held_by("me", 1), Instant::now());
        assert_eq!(
            elector.observe(Some(&held_by("me", 1)), Instant::now()),
            Decision::Claim
        );
        let decision = elector.observe(Some(&held_by("other", 2)), Instant::now());
        assert_eq!(decision, Decision::Yield("other".into()));
    }

    #[test]
    fn a_takeover_counts_as_a_transition_and_a_renewal_does_not() {
        let elector = Elector::new("me".into());
        let now = Timestamp::from_second(50).unwrap();
        assert_eq!(elector.claim(None, now).lease_transitions, Some(0));
        assert_eq!(
            elector
                .claim(Some(&held_by("other", 1)), now)
                .lease_transitions,
            Some(1)
        );
        let mine = elector.claim(Some(&held_by("me", 1)), now);
        assert_eq!(mine.lease_transitions, Some(0));
    }

    #[test]
    fn a_released_lease_is_free_at_once() {
        let mut elector = Elector::new("me".into());
        let released = LeaseSpec {
            holder_identity: None,
            ..held_by("other", 1)
        };
        assert_eq!(
            elector.observe(Some(&released), Instant::now()),
            Decision::Claim
        );
    }
}
