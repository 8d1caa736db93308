//! Reads what one agent sends and carries out what it means; sends what waits for it.
//! In: the two halves of the agent's stream. Out: answered dials, filled inboxes, and the reason why the stream ended.
//! The reader never waits for one connection, with one exception that is counted: when a connection that moves has
//! reached its cap, or the server its budget, the stream waits until there is room. What is left of the problem on
//! this wire is just that: a slow reader that moves slows down whoever shares its agent, once 8 MiB wait for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::inbox::Inbox;
use super::{Backend, Connection, DialFailure, Ending};
use crate::grpc::{PacketReader, PacketWriter, Status, StreamError};
use crate::protocol::budget::{Crowd, Level};
use crate::protocol::id::ConnectId;
use crate::protocol::packet::{FromAgent, ToAgent};
use crate::protocol::table::{Answer, Broken};
use crate::server::metrics::{DialFailureReason, PacketKind, Segment};

/// How often watched connections are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// Bytes that may wait on the whole server before a connection at its cap holds its stream, moving or not.
const BUDGET: i64 = 64 << 20;
/// Bytes that may wait on the whole server before every stream waits.
const CEILING: i64 = 256 << 20;
/// Why an agent's stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// The stream failed.
    #[error("the agent's stream failed")]
    Stream(#[from] StreamError),
    /// The agent makes no sense.
    #[error("the agent breaks the protocol")]
    Broken(#[from] Broken),
}

impl DriveError {
    /// What the agent is told.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Stream(error) => error.status(),
            Self::Broken(error) => Status::unknown(error.to_string()),
        }
    }
}

/// Sends what waits until the stream ends.
pub(crate) async fn write(backend: &Backend, writer: &mut PacketWriter) -> Result<(), DriveError> {
    while let Some(packet) = backend.outbox.next().await {
        let kind = kind_to_agent(&packet);
        backend.metrics.packet(Segment::ToAgent, kind);
        backend.state().blocked = Some(Instant::now());
        let sent = writer.send(packet).await;
        backend.state().blocked = None;
        if let Err(error) = sent {
            backend
                .metrics
                .stream_failed(Segment::ToAgent, error.code(), Some(kind));
            return Err(error.into());
        }
    }
    Ok(())
}

/// Reads until the agent ends the stream, or it fails.
pub(crate) async fn read(
    backend: Arc<Backend>,
    mut reader: PacketReader<FromAgent>,
) -> Result<(), DriveError> {
    let mut driver = Driver {
        backend,
        watched: HashSet::new(),
        hold: None,
    };
    let mut tick = interval(WATCH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            packet = reader.next(), if driver.hold.is_none() => match packet {
                Ok(Some(packet)) => driver.take(packet)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    driver.backend.metrics.stream_failed(Segment::FromAgent, error.code(), None);
                    return Err(error.into());
                }
            },
            () = room(driver.hold.as_ref()), if driver.hold.is_some() => driver.resume(),
            _ = tick.tick(), if driver.must_watch() => driver.watch(),
        }
    }
}

/// The stream is gone: everybody who waits is told.
pub(crate) fn lose(backend: &Backend) {
    let (dialling, open) = {
        let mut state = backend.state();
        state.lost = true;
        state.table.lose()
    };
    backend.outbox.close();
    for answer in dialling {
        // A frontend that gave up meanwhile needs no answer.
        drop(answer.send(Err(DialFailure::Lost)));
    }
    for inbox in open {
        inbox.end(Ending::AgentLost);
    }
}

struct Driver {
    backend: Arc<Backend>,
    /// Connections for which much waits.
    watched: HashSet<ConnectId>,
    hold: Option<Hold>,
}

/// What the shared stream waits for.
enum Hold {
    /// This connection is at its cap.
    Connection(Arc<Inbox>),
    /// The server is above its budget; looked at with every tick.
    Server,
}

impl Driver {
    fn take(&mut self, packet: FromAgent) -> Result<(), DriveError> {
        let backend = &self.backend;
        backend
            .metrics
            .packet(Segment::FromAgent, kind_from_agent(&packet));
        let received = backend.state().table.receive(packet, |_| {
            let total = backend.metrics.queued_bytes.clone();
            Arc::new(Inbox::new(backend.limits, total, Instant::now()))
        })?;
        match received {
            Answer::Opened {
                waiter,
                id,
                connection,
            } => {
                backend.outbox.open(id);
                // A connection that finds its frontend gone closes itself when it is dropped here.
                drop(waiter.send(Ok(Connection::new(Arc::clone(backend), id, connection))));
            }
            Answer::Refused { waiter, error } => {
                drop(waiter.send(Err(DialFailure::Refused(error))));
            }
            Answer::GivenUp { waiter } => {
                drop(waiter.send(Err(DialFailure::Refused("dial closed".to_owned()))));
            }
            Answer::Unwanted { close } => self.unwanted(close),
            Answer::Deliver {
                id,
                connection,
                data,
            } => self.deliver(id, connection, data),
            Answer::Unknown { close } => backend.outbox.control(ToAgent::Close { id: close }),
            Answer::Closed {
                id,
                connection,
                error,
            } => self.closed(id, &connection, error),
            Answer::Drain => {
                tracing::info!(
                    agent = backend.agent,
                    "agent drains: no new dials while another is there"
                );
                backend.draining.store(true, Ordering::Relaxed);
            }
            Answer::Nothing => {}
        }
        Ok(())
    }

    /// An answer that nobody waits for: what it opened is closed again.
    fn unwanted(&self, close: Option<ConnectId>) {
        self.backend
            .metrics
            .dial_failed(DialFailureReason::UnrecognizedResponse);
        if let Some(id) = close {
            self.backend.outbox.control(ToAgent::Close { id });
        }
    }

    fn deliver(&mut self, id: ConnectId, inbox: Arc<Inbox>, data: Bytes) {
        let level = inbox.push(data, Instant::now());
        if level >= Level::Watched {
            self.watched.insert(id);
        }
        let waits = self.backend.metrics.queued_bytes.get();
        if inbox.holds(Instant::now()) {
            self.hold(Hold::Connection(inbox));
        } else if waits > CEILING || waits > BUDGET && level == Level::Full {
            self.hold(Hold::Server);
        }
    }

    fn closed(&mut self, id: ConnectId, inbox: &Inbox, error: String) {
        self.watched.remove(&id);
        self.backend.outbox.forget(id);
        inbox.end(Ending::AgentClosed(error));
    }

    /// The shared stream waits from here on.
    fn hold(&mut self, hold: Hold) {
        if self.hold.is_none() {
            self.backend.metrics.shared_stream_waits.inc();
            self.backend.metrics.full_connect_channels.inc();
        }
        self.hold = Some(hold);
    }

    /// The connection has room again; a crowded server is looked at with the next tick.
    fn resume(&mut self) {
        match self.backend.crowd() {
            Crowd::Full => self.hold = Some(Hold::Server),
            Crowd::Sparse => {
                self.hold = None;
                self.backend.metrics.full_connect_channels.dec();
            }
        }
    }

    fn must_watch(&self) -> bool {
        !self.watched.is_empty() || self.hold.is_some()
    }

    fn watch(&mut self) {
        let watched = &self.watched;
        self.backend
            .close_stalled(|id| watched.contains(&id), Crowd::Sparse);
        let state = self.backend.state();
        self.watched
            .retain(|id| state.table.get(*id).is_some_and(|inbox| inbox.is_watched()));
        drop(state);
        if matches!(self.hold, Some(Hold::Server)) {
            self.resume();
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.backend.metrics.full_connect_channels.dec();
        }
    }
}

impl Backend {
    /// Closes whoever stands still among the `eligible`, and nobody else.
    pub(crate) fn close_stalled(&self, eligible: impl Fn(ConnectId) -> bool, crowd: Crowd) {
        let now = Instant::now();
        let stalled: Vec<(ConnectId, Arc<Inbox>, Ending)> = {
            let state = self.state();
            let chosen = state.table.open().filter(|(id, _)| eligible(*id));
            chosen
                .filter_map(|(id, inbox)| Some((id, Arc::clone(inbox), inbox.stalled(now, crowd)?)))
                .collect()
        };
        for (connection, inbox, ending) in stalled {
            tracing::warn!(agent = self.agent, %connection, %ending, "a frontend stands still");
            self.metrics.stalled.inc();
            self.abandon(connection);
            inbox.cut(ending);
        }
    }

    /// Whether the whole server holds too much.
    pub(crate) fn crowd(&self) -> Crowd {
        if self.metrics.queued_bytes.get() > BUDGET {
            Crowd::Full
        } else {
            Crowd::Sparse
        }
    }

    /// Closes a connection whose frontend is gone or stands still, unless the agent has closed it already.
    pub(super) fn abandon(&self, connection: ConnectId) {
        let ours = self.state().table.close(connection).is_some();
        if ours {
            self.outbox.abort(connection);
        }
    }
}

/// Resolves when the connection the stream waits for has room.
async fn room(hold: Option<&Hold>) {
    match hold {
        Some(Hold::Connection(inbox)) => inbox.room().await,
        Some(Hold::Server) | None => std::future::pending().await,
    }
}

fn kind_to_agent(packet: &ToAgent) -> PacketKind {
    match packet {
        ToAgent::Dial { .. } => PacketKind::DialReq,
        ToAgent::CancelDial { .. } => PacketKind::DialCls,
        ToAgent::Data { .. } => PacketKind::Data,
        ToAgent::Close { .. } => PacketKind::CloseReq,
    }
}

fn kind_from_agent(packet: &FromAgent) -> PacketKind {
    match packet {
        FromAgent::Dialled { .. } | FromAgent::DialFailed { .. } => PacketKind::DialRsp,
        FromAgent::CancelDial { .. } => PacketKind::DialCls,
        FromAgent::Data { .. } => PacketKind::Data,
        FromAgent::Closed { .. } => PacketKind::CloseRsp,
        FromAgent::Drain => PacketKind::Drain,
    }
}
