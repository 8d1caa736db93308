//! What every frontend does: find an agent, dial, try another one if the agent failed, answer in time.
//! In: a destination. Out: a [`Connection`], or the reason why there is none, within [`ANSWER`] in all.
//! It does not know how its client speaks, nor how agents are reached.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::backend::{Backend, BackendId, Connection, DialFailure, Verdict};
use super::backends::{Backends, Reach};
use super::metrics::{DialFailureReason, Metrics};
use super::settings::Limits;
use super::strategy::Distance;
use crate::fault::Fault;
use crate::protocol::destination::Destination;

pub mod connect_request;
pub(crate) mod grpc;

pub(crate) mod http_connect;

/// Every dial is answered within this: the budget of a webhook, which kube-apiserver does not pass on.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// An agent dials for 5 s at most. Silent for longer, it is not asked any more while another one is there.
const SILENCE: Duration = Duration::from_secs(6);

/// A sibling may ask two of its agents.
const RELAYED_SILENCE: Duration = Duration::from_secs(8);
/// When the last agent has just left, the next one is waited for so long: an agent that is rolled is away for a moment.
const BETWEEN: Duration = Duration::from_secs(6);

/// Why a frontend gets no connection. The texts reach users through kube-apiserver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// No strategy knows an agent.
    #[error("No agent available")]
    NoAgent,
    /// The agent tried, and this is what it says.
    #[error("{0}")]
    Refused(String),
    /// The agent takes no dial, and there is no other.
    #[error("{0}")]
    Unavailable(String),
    /// Every agent that was asked went away.
    #[error("agent {0} was lost while it dialled")]
    AgentLost(String),
    /// Nobody answered in time.
    #[error("timed out waiting for backend dial")]
    TimedOut,
    /// The frontend gave up.
    #[error("dial cancelled")]
    Cancelled,
    /// Too many dials wait already.
    #[error("too many dials are waiting for agents (--max-pending-dials)")]
    TooMany,
}

/// Dials on behalf of frontends.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    backends: Arc<Backends>,
    pending: Arc<Semaphore>,
    relayed: Arc<Semaphore>,
    attempt: Option<Duration>,
    metrics: Metrics,
}

impl Dialer {
    /// Dials through `backends` within `limits`.
    pub(crate) fn new(backends: Arc<Backends>, limits: &Limits, metrics: Metrics) -> Self {
        let places = || Arc::new(Semaphore::new(limits.pending_dials));
        Self {
            backends,
            pending: places(),
            relayed: places(),
            attempt: limits.backend_dial,
            metrics,
        }
    }

    /// Opens a connection to `destination`. Dropping the future cancels the dial at the agent.
    pub(crate) async fn dial(&self, destination: &Destination) -> Result<Connection, DialError> {
        self.answered(destination, ANSWER, Reach::Everywhere).await
    }

    /// Opens a connection for a sibling, through agents of this server, within `patience`.
    pub(crate) async fn dial_here(
        &self,
        destination: &Destination,
        patience: Duration,
    ) -> Result<Connection, DialError> {
        let patience = patience.min(ANSWER);
        self.answered(destination, patience, Reach::Here).await
    }

    async fn answered(
        &self,
        destination: &Destination,
        patience: Duration,
        reach: Reach,
    ) -> Result<Connection, DialError> {
        let started = Instant::now();
        let pending = Pending::new(&self.metrics);
        let deadline = started + patience;
        let result = self.first_answer(destination, deadline, reach).await;
        pending.answered();
        match &result {
            Ok(_) => self
                .metrics
                .dial_duration
                .observe(started.elapsed().as_secs_f64()),
            Err(error) => {
                self.metrics.dial_failed(error.reason());
                let fault = error.fault().as_str();
                tracing::info!(%destination, %error, fault, "dial failed");
            }
        }
        result
    }

    /// A dial has no effect before its answer, so one that died with its agent may be repeated.
    async fn first_answer(
        &self,
        destination: &Destination,
        deadline: Instant,
        reach: Reach,
    ) -> Result<Connection, DialError> {
        let places = match reach {
            Reach::Everywhere => &self.pending,
            Reach::Here => &self.relayed,
        };
        let _waiting = places.try_acquire().map_err(|_full| DialError::TooMany)?;
        let (mut tried, mut why) = (Vec::new(), None);
        let patience = deadline.min(Instant::now() + BETWEEN);
        loop {
            let mut changes = self.backends.changes();
            changes.mark_unchanged();
            let error = match self.ask_all(destination, deadline, reach, &mut tried).await {
                Err(error) if error == DialError::NoAgent || error.is_the_agents() => error,
                answer => return answer,
            };
            // Silence is no news of an agent that comes: whoever set a time for it wants it kept.
            let is_expected = matches!(error, DialError::AgentLost(_) | DialError::Unavailable(_))
                || self.backends.expects_more(Instant::now());
            // That nobody is left says less than how the last one failed.
            if error != DialError::NoAgent || why.is_none() {
                why = Some(error);
            }
            let comes = async { changes.changed().await.is_ok() };
            let is_final = reach == Reach::Here || !is_expected;
            if is_final || timeout_at(patience, comes).await != Ok(true) {
                return Err(why.unwrap_or(DialError::NoAgent));
            }
            // Whoever was asked may have others now, or do better.
            tried.clear();
        }
    }

    /// Every agent that may serve, one after the other.
    async fn ask_all(
        &self,
        destination: &Destination,
        deadline: Instant,
        reach: Reach,
        tried: &mut Vec<BackendId>,
    ) -> Result<Connection, DialError> {
        let mut last = DialError::NoAgent;
        while let Some(backend) = self.backends.pick(destination.host(), tried, reach) {
            tried.push(backend.id());
            if tried.len() > 1 {
                self.metrics.dial_retries.inc();
            }
            let company = if self.backends.has_others(tried, reach) {
                Company::Others
            } else {
                Company::Alone
            };
            last = match self.attempt(&backend, destination, deadline, company).await {
                Ok(connection) => return Ok(connection),
                Err(error) if error.is_the_agents() => error,
                Err(error) => return Err(error),
            };
            let (agent, fault) = (backend.agent(), Fault::Agent.as_str());
            tracing::info!(agent, %destination, error = %last, fault, "agent failed a dial");
            if Instant::now() >= deadline {
                return Err(DialError::TimedOut);
            }
        }
        Err(last)
    }

    async fn attempt(
        &self,
        backend: &Arc<Backend>,
        destination: &Destination,
        deadline: Instant,
        company: Company,
    ) -> Result<Connection, DialError> {
        let is_sibling = backend.distance() == Distance::There;
        let patience = match (self.attempt, company) {
            (Some(flag), _) => flag,
            (None, Company::Others) if is_sibling => RELAYED_SILENCE,
            (None, Company::Others) => SILENCE,
            (None, Company::Alone) => ANSWER,
        };
        let now = Instant::now();
        let until = deadline.min(now + patience);
        let left = until.saturating_duration_since(now);
        let dialled = timeout_at(until, backend.dial(destination, left)).await;
        backend.judge(match &dialled {
            Ok(Ok(_) | Err(DialFailure::Refused(_))) => Verdict::Answered,
            // One of its agents would not; that says nothing about the others.
            Ok(Err(DialFailure::Unavailable(_))) if is_sibling => Verdict::Answered,
            Ok(Err(DialFailure::Unavailable(_) | DialFailure::Lost)) => Verdict::Failed,
            // Agents answer within 5 s, whatever their endpoint does.
            Err(_elapsed) if left >= SILENCE => Verdict::Failed,
            Err(_elapsed) => Verdict::Unknown,
        });
        match dialled {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(DialFailure::Refused(text))) => Err(DialError::Refused(text)),
            Ok(Err(DialFailure::Unavailable(text))) => Err(DialError::Unavailable(text)),
            Ok(Err(DialFailure::Lost)) => Err(DialError::AgentLost(backend.agent().to_owned())),
            Err(_elapsed) => Err(DialError::TimedOut),
        }
    }
}

/// Whether another agent could be asked instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}

impl DialError {
    /// Whether the agent failed, not the destination: another agent may do better.
    fn is_the_agents(&self) -> bool {
        matches!(
            self,
            Self::AgentLost(_) | Self::Unavailable(_) | Self::TimedOut
        )
    }

    /// Agents answer within their own deadline, so silence is theirs too.
    fn fault(&self) -> Fault {
        match self {
            Self::NoAgent | Self::Unavailable(_) | Self::AgentLost(_) | Self::TimedOut => {
                Fault::Agent
            }
            Self::Refused(_) => Fault::Endpoint,
            Self::Cancelled => Fault::Frontend,
            Self::TooMany => Fault::Server,
        }
    }

    fn reason(&self) -> DialFailureReason {
        match self {
            Self::NoAgent => DialFailureReason::NoAgent,
            Self::TooMany => DialFailureReason::TooManyPending,
            Self::Refused(_) | Self::Unavailable(_) => DialFailureReason::ErrorResponse,
            Self::AgentLost(_) => DialFailureReason::BackendClose,
            Self::TimedOut => DialFailureReason::BackendDialTimeout,
            Self::Cancelled => DialFailureReason::FrontendClose,
        }
    }
}

/// Counts a dial as pending while it lives, and as given up by its frontend when it is dropped unanswered.
struct Pending<'a> {
    metrics: &'a Metrics,
    given_up: Option<DialFailureReason>,
}

impl<'a> Pending<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.pending_dials.inc();
        Self {
            metrics,
            given_up: Some(DialFailureReason::FrontendClose),
        }
    }

    fn answered(mut self) {
        self.given_up = None;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.metrics.pending_dials.dec();
        if let Some(reason) = self.given_up {
            self.metrics.dial_failed(reason);
        }
    }
}
