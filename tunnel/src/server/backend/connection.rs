//! What a frontend holds: one open connection through an agent of either wire.
//! In: bytes for the endpoint. Out: bytes from it, handed on uncopied, then why there are no more. Counted while it
//! lives; dropped before its end, it is closed at the agent at once.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Backend, Ending, native, reference};
use crate::protocol::id::ConnectId;
use crate::queue::Gone;
use crate::register::Entered;
use crate::register::connection::{Direction, Open};

/// One open connection. One task drives both directions.
#[derive(Debug)]
pub(crate) struct Connection {
    backend: Arc<Backend>,
    id: ConnectId,
    way: Way,
    opened: Instant,
    entry: Entered<Open>,
}

/// The two kinds of it.
#[derive(Debug)]
pub(super) enum Way {
    /// A share of the agent's stream.
    Reference(reference::Way),
    /// A stream of its own.
    Native(Arc<native::Way>),
}

impl Connection {
    pub(super) fn new(backend: Arc<Backend>, id: ConnectId, way: Way, destination: &str) -> Self {
        let entry = Open::new(backend.peer(), destination);
        let entry = match &way {
            Way::Reference(way) => entry.queued_in(way.queue()),
            Way::Native(way) => entry.queued_in(way),
        };
        Self {
            entry: backend.metrics.established.enter(entry),
            backend,
            id,
            way,
            opened: Instant::now(),
        }
    }

    /// Its name towards the frontend.
    pub(crate) fn id(&self) -> ConnectId {
        self.id
    }

    /// Whether the end of one direction leaves the other one open.
    pub(crate) fn half_closes(&self) -> bool {
        matches!(self.way, Way::Native(_))
    }

    /// Sends bytes towards the endpoint; waits while enough of this connection waits for the agent.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        let length = bytes.len();
        self.entry.holds(Direction::ToEndpoint, length);
        match &self.way {
            Way::Reference(way) => way.send(bytes).await,
            Way::Native(way) => way.send(bytes).await,
        }?;
        self.entry.passed(Direction::ToEndpoint, length);
        Ok(())
    }

    /// Nothing more is sent, and the endpoint is told so behind what was. Where the wire knows no half-close, both
    /// directions end; [`Connection::next`] goes on until they have.
    pub(crate) fn finish(&self) {
        match &self.way {
            Way::Reference(way) => way.finish(),
            Way::Native(way) => way.finish(),
        }
    }

    /// Closes both directions behind what was sent; [`Connection::next`] goes on until they are.
    pub(crate) fn close(&self) {
        match &self.way {
            Way::Reference(way) => way.finish(),
            Way::Native(way) => way.close(),
        }
    }

    /// Closes it at the agent; the frontend is told why.
    pub(crate) fn refuse(&self, reason: &str) {
        match &self.way {
            Way::Reference(way) => way.refuse(reason),
            Way::Native(way) => way.refuse(reason),
        }
    }

    /// The frontend failed: the agent is told why, where the wire can say it, before this is dropped.
    pub(crate) fn fail(&self, reason: &str) {
        match &self.way {
            Way::Reference(_) => {}
            Way::Native(way) => way.fail(reason),
        }
    }

    /// Bytes from the endpoint, or why there are no more. They wait until the frontend [took](Self::took) them.
    pub(crate) async fn next(&self) -> Result<Bytes, Ending> {
        let bytes = match &self.way {
            Way::Reference(way) => way.next().await,
            Way::Native(way) => way.next().await,
        }?;
        self.entry.holds(Direction::FromEndpoint, bytes.len());
        Ok(bytes)
    }

    /// The frontend took so many of the bytes it was handed; 0 says that it moves.
    pub(crate) fn took(&self, bytes: usize) {
        self.entry.passed(Direction::FromEndpoint, bytes);
        match &self.way {
            Way::Reference(way) => way.took(bytes),
            Way::Native(way) => way.took(bytes),
        }
    }

    /// Whether nothing comes from the endpoint any more, but for what waits.
    pub(crate) fn is_ended(&self) -> bool {
        self.ending().is_some()
    }

    /// Resolves when the frontend must stop, even in the middle of a write: it stands still where others pay for it.
    pub(crate) async fn cut_off(&self) -> Ending {
        match &self.way {
            Way::Reference(way) => way.cut_off().await,
            Way::Native(way) => way.cut_off().await,
        }
    }

    /// Resolves when the endpoint takes nothing any more, after it has sent all.
    pub(crate) async fn gone(&self) {
        match &self.way {
            Way::Reference(_) => std::future::pending().await,
            Way::Native(way) => way.gone().await,
        }
    }

    fn ending(&self) -> Option<Ending> {
        match &self.way {
            Way::Reference(way) => way.ending(),
            Way::Native(way) => way.ending(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        match &self.way {
            Way::Reference(way) => way.abandon(),
            Way::Native(way) => way.abandon(),
        }
        let ending = self.ending();
        let reason = ending.as_ref().map_or("frontend_closed", Ending::label);
        let metrics = &self.backend.metrics;
        metrics.ended(reason, self.opened.elapsed());
        tracing::debug!(
            agent = self.backend.agent,
            connection = %self.id,
            reason,
            cause = ending.map(|ending| ending.to_string()),
            "connection ended"
        );
    }
}
