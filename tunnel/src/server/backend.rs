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
use crate::queue::{Gone, Inbox, Lane, Outbox, Pool, Stop};

pub(crate) mod admission;
pub(crate) mod driver;
mod ending;

pub(crate) use ending::Ending;

/// Bytes that may wait on the whole server before streams wait, moving or not.
const POOL: usize = 64 << 20;
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
    pool: Pool,
    outbox: Outbox<ToAgent>,
    draining: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: ServerTable<Waiter, Arc<Link>>,
    /// Since when the writer waits for the agent to take bytes.
    blocked: Option<Instant>,
    lost: bool,
}

/// What the stream's driver and a frontend share of an open connection.
#[derive(Debug)]
struct Link {
    /// From the agent.
    inbox: Inbox<Ending>,
    /// To the agent.
    lane: Lane<ToAgent>,
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
            pool: Pool::new(POOL, metrics.queued_bytes.clone()),
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

    /// Makes the two ways of a connection that was just opened.
    fn link(&self, id: ConnectId) -> Arc<Link> {
        let inbox = Inbox::new(self.limits, &self.pool, Instant::now());
        let lane = self.outbox.lane(id);
        Arc::new(Link { inbox, lane })
    }

    /// Closes a connection whose frontend is gone or stands still, unless the agent has closed it already.
    fn abandon(&self, id: ConnectId) {
        let ours = self.state().table.close(id);
        if let Some(link) = ours {
            link.lane.abort(Some(ToAgent::Close { id }));
        }
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
    link: Arc<Link>,
    opened: Instant,
}

impl Connection {
    fn new(backend: Arc<Backend>, id: ConnectId, link: Arc<Link>) -> Self {
        backend.metrics.established.inc();
        Self {
            backend,
            id,
            link,
            opened: Instant::now(),
        }
    }

    /// The agent's name for it.
    pub(crate) fn id(&self) -> ConnectId {
        self.id
    }

    /// Sends bytes towards the endpoint; waits while enough of this connection waits for the agent.
    pub(crate) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.link.lane.send(bytes).await
    }

    /// Asks the agent to close behind what was sent; [`Connection::next`] goes on until it has.
    pub(crate) fn finish(&self) {
        let closing = self.link.lane.finish(ToAgent::Close { id: self.id });
        if closing.is_err() {
            tracing::debug!(connection = %self.id, "closed by the agent before it was asked to");
        }
    }

    /// Closes it at the agent; the frontend is told why behind what already waits for it.
    pub(crate) fn refuse(&self, reason: &str) {
        self.backend.abandon(self.id);
        let ending = Ending::AgentClosed(reason.to_owned());
        self.link.inbox.end(ending, Instant::now());
    }

    /// Bytes from the endpoint, or why there are no more. They wait until the frontend [took](Self::took) them.
    pub(crate) async fn next(&self) -> Result<Bytes, Ending> {
        self.link.inbox.next().await
    }

    /// The frontend took so many of the bytes it was handed; 0 says that it moves.
    pub(crate) fn took(&self, bytes: usize) {
        self.link.inbox.taken(bytes, Instant::now());
    }

    /// Whether the agent has closed it, or it was cut off.
    pub(crate) fn is_ended(&self) -> bool {
        self.link.inbox.ending().is_some()
    }

    /// Resolves when the frontend must stop, even in the middle of a write: it stands still.
    pub(crate) async fn cut_off(&self) -> Ending {
        let stalled = match self.link.inbox.stop().await {
            Stop::Cut(ending) => return ending,
            Stop::Stalled(stalled) => stalled,
        };
        // After the end, only the rest is given up.
        if !self.is_ended() {
            let agent = &self.backend.agent;
            tracing::warn!(agent, connection = %self.id, %stalled, "a frontend stands still");
            self.backend.metrics.stalled.inc();
        }
        self.backend.abandon(self.id);
        let ending = Ending::Stalled(stalled);
        self.link.inbox.cut(ending.clone(), Instant::now());
        ending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.backend.abandon(self.id);
        let ending = self.link.inbox.ending();
        let reason = ending.map_or("frontend_closed", |ending| ending.label());
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
