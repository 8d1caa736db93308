//! One connection, straight down: dial → answer → relay → outcome.
//!
//! In: a dial of a server, and an [`Inbox`] its bytes come through. Out: packets on a [`Lane`], and
//! one [`Outcome`]. What may be said when is asked of the stream's table. The wire knows no half-close: whichever side ends first ends both, but what was
//! already received is still written to the endpoint, and what was already read is still sent.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use prometheus::IntGauge;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::dial::{DialFailure, Dialer};
use super::inbox::Inbox;
use super::metrics::Metrics;
use super::outbox::{Gone, Lane, Outbox};
use crate::protocol::budget::Stalled;
use crate::protocol::id::ConnectId;
use crate::protocol::packet::FromAgent;
use crate::protocol::table::AgentTable;

/// Reads start this small …
const SMALLEST_READ: usize = 2 * 1024;
/// … and grow to this while the endpoint keeps them full. An idle connection holds no buffer.
const LARGEST_READ: usize = 32 * 1024;

/// What all connections of a session share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Opens sockets.
    pub dialer: Arc<Dialer>,
    /// Counts.
    pub metrics: Metrics,
    /// Sends packets.
    pub outbox: Arc<Outbox<FromAgent>>,
    /// All connections of the stream, dials included.
    pub table: Arc<Mutex<AgentTable<Arc<Inbox>>>>,
}

impl Shared {
    /// For a stream without connections.
    pub fn new(dialer: Arc<Dialer>, metrics: Metrics) -> Self {
        Self {
            dialer,
            metrics,
            outbox: Outbox::new(),
            table: Arc::default(),
        }
    }

    /// The table, for one question. Each change of it is whole, a panic beside it changes nothing.
    pub fn table(&self) -> MutexGuard<'_, AgentTable<Arc<Inbox>>> {
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
    pub inbox: Arc<Inbox>,
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

impl Connection {
    /// Lives the connection. Dropping the future closes the socket.
    pub async fn run(self, shared: Shared) -> Outcome {
        let begun = Instant::now();
        let dialled = tokio::select! {
            dialled = shared.dialer.dial(&self.protocol, &self.address) => dialled,
            () = self.inbox.closed() => return Outcome::Cancelled,
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
        shared.outbox.answer(answer);
        let _counted = Counted::new(&shared.metrics.open_endpoints);
        self.relay(socket, &shared).await
    }

    fn not_dialled(&self, shared: &Shared, failure: DialFailure) -> Outcome {
        shared
            .metrics
            .dial_failures
            .with_label_values(&[failure.reason()])
            .inc();
        if let Some(answer) = shared.table().failed(self.id, failure.to_string()) {
            shared.outbox.answer(answer);
        }
        Outcome::NotDialled(failure)
    }

    async fn relay(&self, mut socket: TcpStream, shared: &Shared) -> Outcome {
        let lane = shared.outbox.lane();
        let (reader, writer) = socket.split();
        let mut writing = std::pin::pin!(write(writer, &self.inbox));
        let mut is_writing = true;
        let outcome = tokio::select! {
            outcome = read(reader, self.id, &lane) => outcome,
            () = self.inbox.closed() => Outcome::ClosedByServer,
            written = &mut writing => {
                is_writing = false;
                written.err().unwrap_or(Outcome::ClosedByServer)
            }
        };
        if matches!(outcome, Outcome::Stalled(_)) {
            shared.metrics.stalled.inc();
        }
        self.inbox.close(Instant::now());
        let error = error_text(&outcome);
        // One CLOSE_RSP, whichever side was first: the table may have heard of the server's close
        // while the endpoint ended.
        let closed = shared.table().ended(self.id, error.clone());
        let closed = closed.unwrap_or(FromAgent::Closed { id: self.id, error });
        if let Err(gone) = lane.end(closed) {
            return gone.into();
        }
        // The server has its answer; what it sent before still goes to the endpoint.
        if is_writing {
            writing.await.err().unwrap_or(outcome)
        } else {
            outcome
        }
    }
}

/// One more on a gauge while it lives, however it ends.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    /// Adds one.
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
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

/// Endpoint → server, until the endpoint ends or fails.
async fn read(socket: ReadHalf<'_>, id: ConnectId, lane: &Lane<FromAgent>) -> Outcome {
    let mut size = SMALLEST_READ;
    loop {
        if let Err(error) = socket.readable().await {
            return Outcome::Read(error);
        }
        let mut buffer = BytesMut::with_capacity(size);
        let count = match socket.try_read_buf(&mut buffer) {
            Ok(0) => return Outcome::ClosedByEndpoint,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Outcome::Read(error),
        };
        let data = if count * 2 < size {
            Bytes::copy_from_slice(&buffer)
        } else {
            buffer.freeze()
        };
        size = match count {
            full if full == size => (size * 2).min(LARGEST_READ),
            few if few * 4 < size => (size / 2).max(SMALLEST_READ),
            _ => size,
        };
        if let Err(gone) = lane.send(FromAgent::Data { id, data }).await {
            return gone.into();
        }
    }
}

/// Server → endpoint, until the inbox is closed and empty; then tells the endpoint it is over.
async fn write(mut socket: WriteHalf<'_>, inbox: &Inbox) -> Result<(), Outcome> {
    while let Some(chunk) = inbox.front().await {
        let written = tokio::select! {
            written = socket.write(&chunk) => written,
            stalled = inbox.stalled() => return Err(stalled.into()),
        };
        inbox.taken(written.map_err(Outcome::Write)?, Instant::now());
    }
    socket.shutdown().await.map_err(Outcome::Write)
}
