//! Reads what one agent sends and carries out what it means; sends what waits for it.
//! In: the two halves of the agent's stream. Out: answered dials, filled inboxes, and the reason why the stream ended.
//! The reader never waits for one connection, with one exception that is counted: when a connection that moves has
//! reached its cap, or the server its budget, the stream waits until there is room.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::inbox::{Crowd, Inbox, Level};
use super::{Backend, Connection, DialFailure, Ending, inbox};
use crate::grpc::{PacketReader, PacketWriter, Status, StreamError};
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromAgent, ToAgent};
use crate::server::metrics::{DialFailureReason, PacketKind, Segment};

/// How often watched connections are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// Bytes that may wait on the whole server before streams wait.
const BUDGET: i64 = 256 << 20;
/// Ids we closed that the agent has not confirmed; an agent that goes beyond makes no sense.
const CLOSING: usize = 65_536;

/// Why an agent's stream ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// The stream failed.
    #[error("the agent's stream failed")]
    Stream(#[from] StreamError),
    /// Packets for connections that do not exist, without end.
    #[error("the agent sends for more than {CLOSING} connections that do not exist")]
    Unknown,
}

impl DriveError {
    /// What the agent is told.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Stream(error) => error.status(),
            Self::Unknown => Status::unknown(self.to_string()),
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
    let (pending, open) = {
        let mut state = backend.state();
        state.lost = true;
        state.closing.clear();
        (
            std::mem::take(&mut state.pending),
            std::mem::take(&mut state.open),
        )
    };
    backend.outbox.close();
    for (_, answer) in sorted(pending) {
        // A frontend that gave up meanwhile needs no answer.
        let _gone = answer.send(Err(DialFailure::Lost));
    }
    for (_, inbox) in sorted(open) {
        inbox.end(Ending::AgentLost);
    }
}

/// Makes the order of a map's entries the same on every run.
fn sorted<K: Ord, V>(map: impl IntoIterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut entries: Vec<(K, V)> = map.into_iter().collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
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
        let metrics = &self.backend.metrics;
        metrics.packet(Segment::FromAgent, kind_from_agent(&packet));
        match packet {
            FromAgent::Dialled { dial, id } => self.answered(dial, Ok(id)),
            FromAgent::DialFailed { dial, error } => self.answered(dial, Err(error)),
            FromAgent::CancelDial { dial } => self.cancelled(dial),
            FromAgent::Data { id, data } => return self.data(id, data),
            FromAgent::Closed { id, error } => self.closed(id, error),
            FromAgent::Drain => self.drain(),
        }
        Ok(())
    }

    /// A dial's answer. Nobody waits for it any more: the connection it opened is closed.
    fn answered(&self, dial: DialId, outcome: Result<ConnectId, String>) {
        let backend = &self.backend;
        let mut state = backend.state();
        let waiting = state.pending.remove(&dial);
        let Some(answer) = waiting.filter(|answer| !answer.is_closed()) else {
            drop(state);
            backend
                .metrics
                .dial_failed(DialFailureReason::UnrecognizedResponse);
            if let Ok(connection) = outcome {
                backend.close_unknown(connection);
            }
            return;
        };
        let opened = match outcome {
            Ok(connection) => {
                let inbox = inbox(backend.patience, &backend.metrics.queued_bytes);
                state.closing.remove(&connection);
                state.open.insert(connection, Arc::clone(&inbox));
                backend.outbox.open(connection);
                Ok(Connection::new(Arc::clone(backend), connection, inbox))
            }
            Err(text) => Err(DialFailure::Refused(text)),
        };
        drop(state);
        // A connection that finds its frontend gone closes itself when it is dropped here.
        drop(answer.send(opened));
    }

    fn cancelled(&self, dial: DialId) {
        let waiting = self.backend.state().pending.remove(&dial);
        if let Some(answer) = waiting {
            let _gone = answer.send(Err(DialFailure::Refused("dial closed".to_owned())));
        }
    }

    /// Bytes for a connection; the first ones for one that does not exist are answered with CLOSE_REQ.
    fn data(&mut self, connection: ConnectId, bytes: bytes::Bytes) -> Result<(), DriveError> {
        if connection.is_none() {
            return Ok(());
        }
        let found = self.backend.state().open.get(&connection).map(Arc::clone);
        let Some(inbox) = found else {
            self.backend.close_unknown(connection);
            let unknown = self.backend.state().closing.len();
            return if unknown > CLOSING {
                Err(DriveError::Unknown)
            } else {
                Ok(())
            };
        };
        let level = inbox.push(bytes, Instant::now());
        if level >= Level::Watched {
            self.watched.insert(connection);
        }
        if level == Level::Full {
            self.hold(Hold::Connection(inbox));
        } else if self.backend.crowd() == Crowd::Full {
            self.hold(Hold::Server);
        }
        Ok(())
    }

    fn closed(&mut self, connection: ConnectId, error: String) {
        self.watched.remove(&connection);
        let inbox = {
            let mut state = self.backend.state();
            state.closing.remove(&connection);
            state.open.remove(&connection)
        };
        if let Some(inbox) = inbox {
            self.backend.outbox.forget(connection);
            inbox.end(Ending::AgentClosed(error));
        }
    }

    fn drain(&self) {
        tracing::info!(
            agent = self.backend.agent,
            "agent drains: it gets no new dials while another is there"
        );
        self.backend
            .draining
            .store(true, std::sync::atomic::Ordering::Relaxed);
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
            .close_stalled(|id| watched.contains(id), Crowd::Sparse);
        let state = self.backend.state();
        self.watched
            .retain(|id| state.open.get(id).is_some_and(|inbox| inbox.is_watched()));
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
    pub(crate) fn close_stalled(&self, eligible: impl Fn(&ConnectId) -> bool, crowd: Crowd) {
        let now = Instant::now();
        let open = {
            let state = self.state();
            let chosen = state.open.iter().filter(|(id, _)| eligible(id));
            sorted(chosen.map(|(id, inbox)| (*id, Arc::clone(inbox))))
        };
        for (connection, inbox) in open {
            if let Some(ending) = inbox.stalled(now, crowd) {
                tracing::warn!(agent = self.agent, %connection, %ending, "a frontend stands still");
                self.metrics.stalled.inc();
                self.abandon(connection);
                inbox.cut(ending);
            }
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

    /// Closes a connection that the agent believes in and we do not, once until it is confirmed.
    fn close_unknown(&self, connection: ConnectId) {
        if self.state().closing.insert(connection) {
            self.outbox.control(ToAgent::Close { id: connection });
        }
    }

    /// Closes a connection whose frontend is gone or stands still.
    pub(super) fn abandon(&self, connection: ConnectId) {
        if self.state().close(connection) {
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
