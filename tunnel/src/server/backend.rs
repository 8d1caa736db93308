//! One agent's stream, seen from the server: dials go in, connections come out.
//! [`Backend`] is the handle frontends hold. Its state changes in short steps under a lock that nobody holds while
//! waiting; the stream itself belongs to the reader and the writer in `driver.rs`.
//! Ids are this stream's own: two streams of one agent never meet in a table.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::strategy::{Candidate, Standing};
use crate::protocol::budget::Limits;
use crate::protocol::destination::Destination;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::metadata::Identifiers;
use crate::protocol::packet::ToAgent;
use crate::protocol::table::ServerTable;

pub(crate) mod admission;
pub(crate) mod driver;
pub(crate) mod inbox;

mod outbox;

pub(crate) use inbox::Ending;
pub(crate) use outbox::Gone;

use inbox::Inbox;
use outbox::Outbox;

/// An agent that has not taken a byte for this long while some wait is asked last.
const CONGESTED: Duration = Duration::from_secs(5);

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
    /// The agent answered with an error.
    Refused(String),
    /// The agent went away before it answered.
    Lost,
}

/// Handle to one agent.
#[derive(Debug)]
pub(crate) struct Backend {
    id: BackendId,
    agent: String,
    identifiers: Identifiers,
    limits: Limits,
    metrics: Metrics,
    outbox: Outbox,
    draining: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: ServerTable<Waiter, Arc<Inbox>>,
    /// Since when the writer waits for the agent to take bytes.
    blocked: Option<Instant>,
    lost: bool,
}

/// The frontend that waits for a dial's answer.
type Waiter = oneshot::Sender<Result<Connection, DialFailure>>;

impl Backend {
    /// A backend for one agent stream.
    pub(crate) fn new(
        agent: String,
        identifiers: Identifiers,
        limits: Limits,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: BackendId::next(),
            agent,
            identifiers,
            limits,
            metrics,
            outbox: Outbox::default(),
            draining: AtomicBool::new(false),
            state: Mutex::default(),
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

    /// What a strategy may know.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        let standing = if self.draining.load(Ordering::Relaxed) {
            Standing::Draining
        } else if self
            .state()
            .blocked
            .is_some_and(|since| since.elapsed() >= CONGESTED)
        {
            Standing::Congested
        } else {
            Standing::Ready
        };
        Candidate {
            agent: &self.agent,
            identifiers: &self.identifiers,
            standing,
        }
    }

    /// Asks the agent for a connection. Dropping the future sends `DIAL_CLS`; a connection that the agent opens
    /// nevertheless is closed when its late answer comes.
    pub(crate) async fn dial(
        self: &Arc<Self>,
        destination: &Destination,
    ) -> Result<Connection, DialFailure> {
        let (answer, answered) = oneshot::channel();
        let dial = {
            let mut state = self.state();
            if state.lost {
                return Err(DialFailure::Lost);
            }
            state.table.dial(answer)
        };
        self.outbox.control(ToAgent::Dial {
            dial,
            protocol: "tcp".to_owned(),
            address: destination.to_string(),
        });
        let guard = DialGuard {
            backend: self,
            dial,
        };
        let opened = answered.await.unwrap_or(Err(DialFailure::Lost));
        drop(guard);
        opened
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial that waits for its answer.
struct DialGuard<'a> {
    backend: &'a Backend,
    dial: DialId,
}

impl Drop for DialGuard<'_> {
    fn drop(&mut self) {
        if self.backend.state().table.give_up(self.dial).is_some() {
            self.backend
                .outbox
                .control(ToAgent::CancelDial { dial: self.dial });
        }
    }
}

/// One open connection through an agent. Dropped before the agent closed it, it is closed at once.
#[derive(Debug)]
pub(crate) struct Connection {
    backend: Arc<Backend>,
    id: ConnectId,
    inbox: Arc<Inbox>,
    opened: Instant,
}

impl Connection {
    fn new(backend: Arc<Backend>, id: ConnectId, inbox: Arc<Inbox>) -> Self {
        backend.metrics.established.inc();
        Self {
            backend,
            id,
            inbox,
            opened: Instant::now(),
        }
    }

    /// The agent's name for it.
    pub(crate) fn id(&self) -> ConnectId {
        self.id
    }

    /// Sends bytes towards the endpoint; waits while enough of this connection waits for the agent.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.backend.outbox.data(self.id, bytes).await
    }

    /// Asks the agent to close behind what was sent; [`Connection::next`] goes on until it has.
    pub(crate) fn finish(&self) {
        self.backend.outbox.finish(self.id);
    }

    /// Closes it at the agent; the frontend is told why behind what already waits for it.
    pub(crate) fn refuse(&self, reason: &str) {
        self.backend.abandon(self.id);
        self.inbox.end(Ending::AgentClosed(reason.to_owned()));
    }

    /// Bytes from the endpoint, or why there are no more.
    pub(crate) async fn next(&self) -> Result<Bytes, Ending> {
        self.inbox.next().await
    }

    /// The frontend took some of the bytes it was handed last.
    pub(crate) fn moved(&self) {
        self.inbox.moved();
    }

    /// Whether the agent has closed it, or it was cut off.
    pub(crate) fn is_ended(&self) -> bool {
        self.inbox.ending().is_some()
    }

    /// Resolves when the frontend must stop, even in the middle of a write.
    pub(crate) async fn cut_off(&self) -> Ending {
        self.inbox.cut_off().await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.backend.abandon(self.id);
        let reason = self
            .inbox
            .ending()
            .map_or("frontend_closed", |ending| ending.label());
        self.backend.metrics.established.dec();
        self.backend.metrics.ended(reason, self.opened.elapsed());
        tracing::debug!(
            agent = self.backend.agent,
            connection = %self.id,
            reason,
            "connection ended"
        );
    }
}
