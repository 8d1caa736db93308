//! One agent, seen from the server: dials go in, connections come out, whichever wire it speaks.
//! [`Backend`] is the handle frontends hold and strategies choose; `reference` and `native` are the two wires. What a
//! frontend gets is a [`Connection`], with one meaning for both: bytes in, bytes out, an [`Ending`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::strategy::{Candidate, Distance, Names, Standing};
use crate::protocol::destination::Destination;
use crate::protocol::metadata::Identifiers;
use crate::register::connection::Peer;

pub(crate) mod admission;
mod connection;
mod ending;
pub(crate) mod native;
pub(crate) mod reference;
mod trust;

pub(crate) use connection::Connection;
pub(crate) use ending::Ending;

use trust::Trust;

/// One agent stream among all that this server ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendId(u64);

impl BackendId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }

    /// Its name towards siblings.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Why a dial through this agent failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialFailure {
    /// The agent tried and answered with an error.
    Refused(String),
    /// The agent takes no dial now; another one might.
    Unavailable(String),
    /// The agent went away before it answered.
    Lost,
}

/// Whether an agent did its part in a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It opened the connection, or said why its endpoint could not be had.
    Answered,
    /// It was silent, or would not.
    Failed,
    /// It was not given the time.
    Unknown,
}

/// Handle to one agent.
#[derive(Debug)]
pub(crate) struct Backend {
    id: BackendId,
    agent: String,
    peer: Arc<Peer>,
    identifiers: Identifiers,
    names: Names,
    distance: Distance,
    /// Since when.
    draining: OnceLock<Instant>,
    /// Who is told when it begins to drain.
    changed: OnceLock<watch::Sender<()>>,
    trust: Mutex<Trust>,
    metrics: Metrics,
    wire: Wire,
}

/// How the agent is spoken to.
#[derive(Debug)]
enum Wire {
    /// Packets of all connections on one stream.
    Reference(Arc<reference::Stream>),
    /// A stream for each connection.
    Native(native::Streams),
}

impl Wire {
    fn name(&self) -> &'static str {
        match self {
            Self::Reference(_) => "reference",
            Self::Native(_) => "native",
        }
    }
}

impl Backend {
    /// An agent by its name and what it can reach.
    fn new(who: (String, Identifiers), wire: Wire, metrics: Metrics) -> Arc<Self> {
        Self::at(Distance::Here, who, wire, metrics)
    }

    fn at(
        distance: Distance,
        (agent, identifiers): (String, Identifiers),
        wire: Wire,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: BackendId::next(),
            peer: Arc::new(Peer::new(&agent, wire.name())),
            agent,
            names: Names::from(&identifiers),
            identifiers,
            distance,
            draining: OnceLock::new(),
            changed: OnceLock::new(),
            trust: Mutex::default(),
            metrics,
            wire,
        })
    }

    /// A sibling of this name, whose HTTP/2 takes dials as a native agent's does; it tells of its agents elsewhere.
    pub(crate) fn sibling(id: &str, sender: SendRequest<Bytes>, metrics: Metrics) -> Arc<Self> {
        let wire = Wire::Native(native::Streams::to_sibling(sender, metrics.clone()));
        let who = (format!("server {id}"), Identifiers::default());
        Self::at(Distance::There, who, wire, metrics)
    }

    /// This stream's identity.
    pub(crate) fn id(&self) -> BackendId {
        self.id
    }

    /// The agent's name.
    pub(crate) fn agent(&self) -> &str {
        &self.agent
    }

    /// What it can reach.
    pub(crate) fn identifiers(&self) -> &Identifiers {
        &self.identifiers
    }

    /// Which wire it speaks, for the log.
    fn wire_name(&self) -> &'static str {
        self.wire.name()
    }

    /// What connections through it are listed under.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// What a strategy may know.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        let standing = match &self.wire {
            _ if self.trust(|trust| trust.is_failing(Instant::now())) => Standing::Failing,
            _ if self.draining.get().is_some() => Standing::Draining,
            Wire::Reference(stream) if stream.is_congested() => Standing::Congested,
            Wire::Reference(_) | Wire::Native(_) => Standing::Ready,
        };
        Candidate {
            agent: &self.agent,
            names: &self.names,
            standing,
            distance: self.distance,
            load: self.load(),
        }
    }

    /// Connections that are open through it.
    pub(crate) fn load(&self) -> usize {
        self.peer.connections()
    }

    /// What a dial says about the agent itself.
    pub(crate) fn judge(&self, verdict: Verdict) {
        self.trust(|trust| match verdict {
            Verdict::Answered => trust.answered(),
            Verdict::Failed => trust.failed(Instant::now()),
            Verdict::Unknown => {}
        });
    }

    fn trust<T>(&self, with: impl FnOnce(&mut Trust) -> T) -> T {
        with(&mut self.trust.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the agent for a connection. Dropping the future cancels the dial at the agent; `patience` is how long the
    /// caller will wait.
    pub(crate) async fn dial(
        self: &Arc<Self>,
        destination: &Destination,
        patience: Duration,
    ) -> Result<Connection, DialFailure> {
        match &self.wire {
            Wire::Reference(stream) => stream.dial(destination).await,
            Wire::Native(streams) => streams.dial(self, destination, patience).await,
        }
    }

    /// It wants no new dials.
    pub(crate) fn drains(&self) {
        if self.draining.set(Instant::now()).is_ok() {
            tracing::info!(
                agent = self.agent,
                "drains: no new dials while another is there"
            );
            if let Some(changed) = self.changed.get() {
                changed.send_replace(());
            }
        }
    }

    /// Since when it drains, if it does.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        self.draining.get().copied()
    }

    /// From now on `changed` is told when it drains.
    pub(crate) fn tell(&self, changed: &watch::Sender<()>) {
        self.changed.get_or_init(|| changed.clone());
    }

    /// Whether it is an agent of this server, or a sibling.
    pub(crate) fn distance(&self) -> Distance {
        self.distance
    }

    /// Whoever still waits for this agent is told that it is gone.
    fn lose(&self) {
        match &self.wire {
            Wire::Reference(stream) => stream.lose(),
            // Its streams end with the HTTP/2 connection.
            Wire::Native(_) => {}
        }
    }
}
