//! The reference's wire, seen from the server: one stream that the packets of all connections share.
//! Its state changes in short steps under a lock that nobody holds while waiting; the stream itself belongs to the
//! reader and the writer in `driver.rs`. Ids are this stream's own: two streams of one agent never meet in a table.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Connection, DialFailure, Ending};
use crate::fault::Fault;
use crate::protocol::budget::Limits;
use crate::protocol::destination::Destination;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::ToAgent;
use crate::protocol::table::ServerTable;
use crate::queue::{Gone, Inbox, Lane, Outbox, Pool, Stop};
use crate::register::connection::{Direction, Queue};
use crate::server::metrics::Metrics;

pub(crate) mod driver;

/// Bytes that may wait on the whole server before streams wait, moving or not.
pub(crate) const POOL: usize = 64 << 20;
/// An agent that has not taken a byte for this long while some wait is asked last.
const CONGESTED: Duration = Duration::from_secs(5);

/// One agent's stream.
#[derive(Debug)]
pub(crate) struct Stream {
    agent: String,
    limits: Limits,
    metrics: Metrics,
    pool: Pool,
    outbox: Outbox<ToAgent>,
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
pub(super) struct Link {
    /// From the agent.
    inbox: Inbox<Ending>,
    /// To the agent.
    lane: Lane<ToAgent>,
}

/// The frontend that waits for a dial's answer, and what it dialled.
#[derive(Debug)]
struct Waiter {
    answer: oneshot::Sender<Result<Connection, DialFailure>>,
    destination: String,
}

impl Waiter {
    /// A frontend that gave up meanwhile needs no answer; a connection for it closes itself when it is dropped here.
    fn tell(self, answer: Result<Connection, DialFailure>) {
        drop(self.answer.send(answer));
    }
}

impl Stream {
    /// Nothing is open.
    pub(crate) fn new(agent: String, limits: Limits, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            agent,
            limits,
            pool: Pool::new(POOL, metrics.queued_bytes.clone()),
            metrics,
            outbox: Outbox::default(),
            state: Mutex::default(),
        })
    }

    /// Whether the agent has taken no byte for long while some wait.
    pub(super) fn is_congested(&self) -> bool {
        self.state()
            .blocked
            .is_some_and(|since| since.elapsed() >= CONGESTED)
    }

    /// Asks the agent for a connection. Dropping the future sends `DIAL_CLS`; a connection that the agent opens
    /// nevertheless is closed when its late answer comes.
    pub(super) async fn dial(&self, destination: &Destination) -> Result<Connection, DialFailure> {
        let (answer, answered) = oneshot::channel();
        let dial = {
            let mut state = self.state();
            if state.lost {
                return Err(DialFailure::Lost);
            }
            state.table.dial(Waiter {
                answer,
                destination: destination.to_string(),
            })
        };
        self.outbox.control(ToAgent::Dial {
            dial,
            protocol: "tcp".to_owned(),
            address: destination.to_string(),
        });
        let guard = DialGuard { stream: self, dial };
        let opened = answered.await.unwrap_or(Err(DialFailure::Lost));
        drop(guard);
        opened
    }

    /// The stream is gone: everybody who waits is told.
    pub(super) fn lose(&self) {
        let (dialling, open) = {
            let mut state = self.state();
            state.lost = true;
            state.table.lose()
        };
        self.outbox.cut();
        for waiter in dialling {
            waiter.tell(Err(DialFailure::Lost));
        }
        for link in open {
            link.inbox.end(Ending::AgentLost, Instant::now());
        }
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
    stream: &'a Stream,
    dial: DialId,
}

impl Drop for DialGuard<'_> {
    fn drop(&mut self) {
        if self.stream.state().table.give_up(self.dial).is_some() {
            self.stream
                .outbox
                .control(ToAgent::CancelDial { dial: self.dial });
        }
    }
}

/// One connection's share of the stream; see [`Connection`] for what its verbs mean.
#[derive(Debug)]
pub(super) struct Way {
    stream: Arc<Stream>,
    id: ConnectId,
    link: Arc<Link>,
}

impl Queue for Link {
    fn waiting(&self, direction: Direction) -> usize {
        match direction {
            Direction::ToEndpoint => self.lane.waiting(),
            Direction::FromEndpoint => self.inbox.waiting(),
        }
    }
}

impl Way {
    /// Where its bytes wait.
    pub(super) fn queue(&self) -> &Arc<Link> {
        &self.link
    }

    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.link.lane.send(bytes).await
    }

    pub(super) fn finish(&self) {
        let closing = self.link.lane.finish(ToAgent::Close { id: self.id });
        if closing.is_err() {
            tracing::debug!(connection = %self.id, "closed by the agent before it was asked to");
        }
    }

    pub(super) fn refuse(&self, reason: &str) {
        self.abandon();
        let ending = Ending::AgentClosed(reason.to_owned());
        self.link.inbox.end(ending, Instant::now());
    }

    pub(super) async fn next(&self) -> Result<Bytes, Ending> {
        self.link.inbox.next().await
    }

    pub(super) fn took(&self, bytes: usize) {
        self.link.inbox.taken(bytes, Instant::now());
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.link.inbox.ending()
    }

    pub(super) async fn cut_off(&self) -> Ending {
        let stalled = match self.link.inbox.stop().await {
            Stop::Cut(ending) => return ending,
            Stop::Stalled(stalled) => stalled,
        };
        // After the end, only the rest is given up.
        if self.ending().is_none() {
            let agent = &self.stream.agent;
            let fault = Fault::Frontend.as_str();
            tracing::warn!(agent, connection = %self.id, %stalled, fault, "a frontend stands still");
            self.stream.metrics.stalled.inc();
        }
        self.abandon();
        let ending = Ending::Stalled(stalled);
        self.link.inbox.cut(ending.clone(), Instant::now());
        ending
    }

    pub(super) fn abandon(&self) {
        self.stream.abandon(self.id);
    }
}
