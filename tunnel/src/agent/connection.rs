//! One connection, straight down: dial → answer → relay → outcome.
//!
//! In: a dial of a server, and an [`Inbox`] its bytes come through. Out: packets on a lane of the
//! [`Outbox`], and one [`Outcome`]. What may be said when is asked of the stream's table. The wire
//! knows no half-close: whichever side ends first ends both, but what was already received is still
//! written to the endpoint, and what was already read is still sent.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::dial::{DialFailure, Dialer};
use super::endpoint::Endpoint;
use super::metrics::Metrics;
use crate::fault::Fault;
use crate::protocol::budget::Stalled;
use crate::protocol::id::ConnectId;
use crate::protocol::packet::FromAgent;
use crate::protocol::table::AgentTable;
use crate::queue::{Gone, Inbox, Lane, Outbox, Pool, Stop};
use crate::register::connection::{Direction, Open, Peer, Queue};
use crate::relay::{self, ReadEnd, WriteEnd};

/// What may wait for all endpoints of all servers together.
const POOL: usize = 32 * 1024 * 1024;

/// The server wants nothing more from a connection, or it is over by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// What all connections of a session share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Opens sockets.
    pub dialer: Arc<Dialer>,
    /// Counts.
    pub metrics: Metrics,
    /// Sends packets.
    pub outbox: Outbox<FromAgent>,
    /// Counts what waits for endpoints.
    pub pool: Pool,
    /// All connections of the stream, dials included.
    pub table: Arc<Mutex<AgentTable<Arc<Inbox<Ended>>>>>,
    /// The server.
    pub peer: Arc<Peer>,
}

/// Where the bytes of one connection wait.
#[derive(Debug)]
struct Ways {
    /// For the endpoint.
    inbox: Arc<Inbox<Ended>>,
    /// For the server.
    lane: Lane<FromAgent>,
}

impl Queue for Ways {
    fn waiting(&self, direction: Direction) -> usize {
        match direction {
            Direction::ToEndpoint => self.inbox.waiting(),
            Direction::FromEndpoint => self.lane.waiting(),
        }
    }
}

impl Shared {
    /// For a stream without connections.
    pub fn new(dialer: Arc<Dialer>, metrics: Metrics, peer: Arc<Peer>) -> Self {
        Self {
            dialer,
            pool: Pool::new(POOL, metrics.queued.clone()),
            metrics,
            outbox: Outbox::default(),
            table: Arc::default(),
            peer,
        }
    }

    /// The table, for one question. Each change of it is whole, a panic beside it changes nothing.
    pub fn table(&self) -> MutexGuard<'_, AgentTable<Arc<Inbox<Ended>>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection from its dial on.
#[derive(Debug)]
pub struct Connection {
    /// Its id on this stream.
    pub id: ConnectId,
    /// Network, as the server names it.
    pub protocol: String,
    /// `host:port`, as the server names it.
    pub address: String,
    /// What the server sends; closed when the server gives the dial up or closes.
    pub inbox: Arc<Inbox<Ended>>,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum Outcome {
    /// There was no connection.
    #[error("dial failed")]
    NotDialled(#[source] DialFailure),
    /// The server gave the dial up before it was answered.
    #[error("dial cancelled by the server")]
    Cancelled,
    /// The server closed.
    #[error("closed by the server")]
    ClosedByServer,
    /// The endpoint closed.
    #[error("closed by the endpoint")]
    ClosedByEndpoint,
    /// Reading from the endpoint failed.
    #[error("reading from the endpoint failed")]
    Read(#[source] io::Error),
    /// Writing to the endpoint failed.
    #[error("writing to the endpoint failed")]
    Write(#[source] io::Error),
    /// The endpoint took nothing for too long.
    #[error(transparent)]
    Stalled(#[from] Stalled),
    /// The stream to the server ended.
    #[error(transparent)]
    ServerGone(#[from] Gone),
}

impl Outcome {
    /// Whose fault it is, if anybody's; the loss of a server is told once, with its stream.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::NotDialled(failure) => Some(failure.fault()),
            Self::Read(_) | Self::Write(_) | Self::Stalled(_) => Some(Fault::Endpoint),
            Self::Cancelled
            | Self::ClosedByServer
            | Self::ClosedByEndpoint
            | Self::ServerGone(_) => None,
        }
    }
}

impl Connection {
    /// Lives the connection. Dropping the future closes the socket.
    pub async fn run(self, shared: Shared) -> Outcome {
        let begun = Instant::now();
        let dialled = tokio::select! {
            dialled = shared.dialer.dial(&self.protocol, &self.address) => dialled,
            Ended = self.inbox.ended() => return Outcome::Cancelled,
        };
        let socket = match dialled {
            Ok(socket) => socket,
            Err(failure) => return self.not_dialled(&shared, failure),
        };
        shared
            .metrics
            .dial_duration
            .observe(begun.elapsed().as_secs_f64());
        let Some(answer) = shared.table().dialled(self.id) else {
            return Outcome::Cancelled;
        };
        shared.outbox.control(answer);
        self.relay(socket, &shared).await
    }

    fn not_dialled(&self, shared: &Shared, failure: DialFailure) -> Outcome {
        shared
            .metrics
            .dial_failures
            .with_label_values(&[failure.reason()])
            .inc();
        if let Some(answer) = shared.table().failed(self.id, failure.to_string()) {
            shared.outbox.control(answer);
        }
        Outcome::NotDialled(failure)
    }

    async fn relay(&self, mut socket: TcpStream, shared: &Shared) -> Outcome {
        let ways = Arc::new(Ways {
            inbox: Arc::clone(&self.inbox),
            lane: shared.outbox.lane(self.id),
        });
        let lane = &ways.lane;
        let entry = Open::new(&shared.peer, &self.address).queued_in(&ways);
        let entry = shared.metrics.open_endpoints.enter(entry);
        let (reader, writer) = socket.split();
        let mut reader = Endpoint::new(reader, &entry);
        let mut writer = Endpoint::new(writer, &entry);
        let mut reading = std::pin::pin!(relay::read(&mut reader, lane));
        let mut writing = std::pin::pin!(relay::write(&mut writer, &self.inbox));
        let mut is_writing = true;
        let outcome = tokio::select! {
            end = &mut reading => end.into(),
            Ended = self.inbox.ended() => Outcome::ClosedByServer,
            end = &mut writing => {
                is_writing = false;
                end.into()
            }
        };
        if let Outcome::Write(_) = outcome {
            // An endpoint that hung up on us may have answered first.
            tokio::select! {
                _end = &mut reading => {}
                Ended = self.inbox.ended() => {}
            }
        }
        if matches!(outcome, Outcome::Stalled(_)) {
            shared.metrics.stalled.inc();
        }
        self.inbox.end(Ended, Instant::now());
        let error = error_text(&outcome);
        // One CLOSE_RSP, whichever side was first: the table may have heard of the server's close
        // while the endpoint ended.
        let closed = shared.table().ended(self.id, error.clone());
        let closed = closed.unwrap_or(FromAgent::Closed { id: self.id, error });
        if let Err(gone) = lane.finish(closed) {
            return gone.into();
        }
        // The server has its answer; what it sent before still goes to the endpoint.
        if !is_writing {
            return outcome;
        }
        match writing.await {
            WriteEnd::Done(Ended) => outcome,
            failed => failed.into(),
        }
    }
}

impl From<ReadEnd> for Outcome {
    fn from(end: ReadEnd) -> Self {
        match end {
            ReadEnd::Eof => Self::ClosedByEndpoint,
            ReadEnd::Failed(error) => Self::Read(error),
            ReadEnd::Gone(gone) => gone.into(),
        }
    }
}

impl From<WriteEnd<Ended>> for Outcome {
    fn from(end: WriteEnd<Ended>) -> Self {
        match end {
            WriteEnd::Done(Ended) | WriteEnd::Stopped(Stop::Cut(Ended)) => Self::ClosedByServer,
            WriteEnd::Failed(error) => Self::Write(error),
            WriteEnd::Stopped(Stop::Stalled(stalled)) => stalled.into(),
        }
    }
}

/// Why the connection ended, as the wire tells it; empty for an end in order.
fn error_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Read(error) | Outcome::Write(error) => format!("{outcome}: {error}"),
        Outcome::Stalled(_) => outcome.to_string(),
        _ => String::new(),
    }
}
