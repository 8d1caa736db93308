//! One agent, seen from the server: dials go in, connections come out, whichever wire it speaks.
//! [`Backend`] is the handle frontends hold and strategies choose; `reference` and `native` are the two wires. What a
//! frontend gets is a [`Connection`], with one meaning for both: bytes in, bytes out, an [`Ending`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::metrics::Metrics;
use super::strategy::{Candidate, Standing};
use crate::protocol::destination::Destination;
use crate::protocol::metadata::Identifiers;

pub(crate) mod admission;
mod connection;
mod ending;
pub(crate) mod native;
pub(crate) mod reference;

pub(crate) use connection::Connection;
pub(crate) use ending::Ending;

/// One agent stream among all that this server ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendId(u64);

impl BackendId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
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

/// Handle to one agent.
#[derive(Debug)]
pub(crate) struct Backend {
    id: BackendId,
    agent: String,
    identifiers: Identifiers,
    draining: AtomicBool,
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

impl Backend {
    /// An agent by its name and what it can reach.
    fn new((agent, identifiers): (String, Identifiers), wire: Wire, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            id: BackendId::next(),
            agent,
            identifiers,
            draining: AtomicBool::new(false),
            metrics,
            wire,
        })
    }

    /// This stream's identity.
    pub(crate) fn id(&self) -> BackendId {
        self.id
    }

    /// The agent's name.
    pub(crate) fn agent(&self) -> &str {
        &self.agent
    }

    /// Which wire it speaks, for the log.
    fn wire_name(&self) -> &'static str {
        match self.wire {
            Wire::Reference(_) => "reference",
            Wire::Native(_) => "native",
        }
    }

    /// What a strategy may know.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        let standing = match &self.wire {
            _ if self.draining.load(Ordering::Relaxed) => Standing::Draining,
            Wire::Reference(stream) if stream.is_congested() => Standing::Congested,
            Wire::Reference(_) | Wire::Native(_) => Standing::Ready,
        };
        Candidate {
            agent: &self.agent,
            identifiers: &self.identifiers,
            standing,
        }
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

    /// The agent wants no new dials.
    fn drains(&self) {
        tracing::info!(
            agent = self.agent,
            "agent drains: no new dials while another is there"
        );
        self.draining.store(true, Ordering::Relaxed);
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
