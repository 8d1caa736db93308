//! Reads what one agent sends and carries out what it means; sends what waits for it.
//! In: the two halves of the agent's stream. Out: answered dials, filled inboxes, and the reason why the stream ended.
//! The reader never waits for one connection, with one exception that is counted: when a connection that moves has
//! reached its cap, or the server its budget, the stream waits until there is room. What is left of the problem on
//! this wire is just that: a slow reader that moves slows down whoever shares its agent, once 8 MiB wait for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Backend, Connection, DialFailure, Ending, Link};
use crate::grpc::{PacketReader, PacketWriter, Status, StreamError};
use crate::protocol::id::ConnectId;
use crate::protocol::packet::{FromAgent, ToAgent};
use crate::protocol::table::{Answer, Broken};
use crate::queue::Pushed;
use crate::server::metrics::{DialFailureReason, PacketKind, Segment};

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
        hold: None,
    };
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
            () = room(driver.hold.as_deref()), if driver.hold.is_some() => driver.resume(),
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
    backend.outbox.cut();
    for answer in dialling {
        // A frontend that gave up meanwhile needs no answer.
        drop(answer.send(Err(DialFailure::Lost)));
    }
    for link in open {
        link.inbox.end(Ending::AgentLost, Instant::now());
    }
}

struct Driver {
    backend: Arc<Backend>,
    /// The connection that the shared stream waits for.
    hold: Option<Arc<Link>>,
}

impl Driver {
    fn take(&mut self, packet: FromAgent) -> Result<(), DriveError> {
        let backend = &self.backend;
        backend
            .metrics
            .packet(Segment::FromAgent, kind_from_agent(&packet));
        let received = backend
            .state()
            .table
            .receive(packet, |id| backend.link(id))?;
        match received {
            Answer::Opened {
                waiter,
                id,
                connection,
            } => {
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
            } => {
                tracing::trace!(connection = %id, error, "closed by the agent");
                connection.lane.abort(None);
                let ending = Ending::AgentClosed(error);
                connection.inbox.end(ending, Instant::now());
            }
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

    fn deliver(&mut self, id: ConnectId, link: Arc<Link>, data: Bytes) {
        match link.inbox.push(data, Instant::now()) {
            Pushed::Kept | Pushed::Watched | Pushed::Ended => {}
            Pushed::Full => {
                tracing::debug!(connection = %id, "the stream waits for this frontend");
                self.backend.metrics.shared_stream_waits.inc();
                self.backend.metrics.full_connect_channels.inc();
                self.hold = Some(link);
            }
        }
    }

    fn resume(&mut self) {
        self.hold = None;
        self.backend.metrics.full_connect_channels.dec();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.backend.metrics.full_connect_channels.dec();
        }
    }
}

/// Resolves when the stream need not wait for the connection any more.
async fn room(hold: Option<&Link>) {
    if let Some(link) = hold {
        link.inbox.room().await;
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
