//! Reads what one agent sends and carries out what it means; sends what waits for it.
//! In: the two halves of the agent's stream. Out: answered dials, filled inboxes, and the reason why the stream ended.
//! The reader never waits for one connection, with one exception that is counted: when a connection that moves has
//! reached its cap, or the server its budget, the stream waits until there is room. What is left of the problem on
//! this wire is just that: a slow reader that moves slows down whoever shares its agent, once 8 MiB wait for it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Link, Stream, Way};
use crate::grpc::{PacketReader, PacketWriter, Status, StreamError};
use crate::protocol::id::ConnectId;
use crate::protocol::packet::{FromAgent, ToAgent};
use crate::protocol::table::{Answer, Broken};
use crate::queue::Pushed;
use crate::server::auth::AuthError;
use crate::server::backend::connection::{self, Connection};
use crate::server::backend::{Backend, DialFailure, Ending};
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
    /// What let the agent in is good no more.
    #[error("the agent is turned out")]
    Revoked(#[source] AuthError),
}

impl DriveError {
    /// What the agent is told.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Stream(error) => error.status(),
            Self::Broken(error) => Status::unknown(error.to_string()),
            Self::Revoked(error) => Status::unknown(error.to_string()),
        }
    }
}

/// Sends what waits until the stream ends.
pub(crate) async fn write(stream: &Stream, writer: &mut PacketWriter) -> Result<(), DriveError> {
    while let Some(packet) = stream.outbox.next().await {
        let kind = kind_to_agent(&packet);
        stream.metrics.packet(Segment::ToAgent, kind);
        stream.state().blocked = Some(Instant::now());
        let sent = writer.send(packet).await;
        stream.state().blocked = None;
        if let Err(error) = sent {
            stream
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
    stream: Arc<Stream>,
    mut reader: PacketReader<FromAgent>,
) -> Result<(), DriveError> {
    let mut driver = Driver {
        backend,
        stream,
        hold: None,
    };
    loop {
        tokio::select! {
            packet = reader.next(), if driver.hold.is_none() => match packet {
                Ok(Some(packet)) => driver.take(packet)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    driver.stream.metrics.stream_failed(Segment::FromAgent, error.code(), None);
                    return Err(error.into());
                }
            },
            () = room(driver.hold.as_deref()), if driver.hold.is_some() => driver.resume(),
        }
    }
}

struct Driver {
    backend: Arc<Backend>,
    stream: Arc<Stream>,
    /// The connection that the shared stream waits for.
    hold: Option<Arc<Link>>,
}

impl Driver {
    fn take(&mut self, packet: FromAgent) -> Result<(), DriveError> {
        let stream = &self.stream;
        stream
            .metrics
            .packet(Segment::FromAgent, kind_from_agent(&packet));
        let received = stream.state().table.receive(packet, |id| stream.link(id))?;
        match received {
            Answer::Opened {
                waiter,
                id,
                connection,
            } => {
                let connection = self.opened(id, connection, &waiter.destination);
                waiter.tell(Ok(connection));
            }
            Answer::Refused { waiter, error } => {
                waiter.tell(Err(DialFailure::Refused(error)));
            }
            Answer::GivenUp { waiter } => {
                waiter.tell(Err(DialFailure::Refused("dial closed".to_owned())));
            }
            Answer::Unwanted { close } => self.unwanted(close),
            Answer::Deliver {
                id,
                connection,
                data,
            } => self.deliver(id, connection, data),
            Answer::Unknown { close } => stream.outbox.control(ToAgent::Close { id: close }),
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
            Answer::Drain => self.backend.drains(),
            Answer::Nothing => {}
        }
        Ok(())
    }

    fn opened(&self, id: ConnectId, link: Arc<Link>, destination: &str) -> Connection {
        let stream = Arc::clone(&self.stream);
        let way = connection::Way::Reference(Way { stream, id, link });
        Connection::new(Arc::clone(&self.backend), id, way, destination)
    }

    /// An answer that nobody waits for: what it opened is closed again.
    fn unwanted(&self, close: Option<ConnectId>) {
        self.stream
            .metrics
            .dial_failed(DialFailureReason::UnrecognizedResponse);
        if let Some(id) = close {
            self.stream.outbox.control(ToAgent::Close { id });
        }
    }

    fn deliver(&mut self, id: ConnectId, link: Arc<Link>, data: Bytes) {
        match link.inbox.push(data, Instant::now()) {
            Pushed::Kept | Pushed::Watched | Pushed::Ended => {}
            Pushed::Full => {
                tracing::debug!(connection = %id, "the stream waits for this frontend");
                self.stream.metrics.shared_stream_waits.inc();
                self.stream.metrics.full_connect_channels.inc();
                self.hold = Some(link);
            }
        }
    }

    fn resume(&mut self) {
        self.hold = None;
        self.stream.metrics.full_connect_channels.dec();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.stream.metrics.full_connect_channels.dec();
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
