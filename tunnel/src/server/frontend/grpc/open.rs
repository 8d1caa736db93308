//! A frontend's stream with a connection: bytes both ways until one side ends it.
//! In: a dial that an agent has answered. Out: the stream, to be ended in order, or why it cannot be.

use bytes::Bytes;
use futures_util::FutureExt as _;
use prometheus::IntGauge;

use super::wire::{Reader, Wire, Writer};
use crate::grpc::StreamError;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromFrontend, ToFrontend};
use crate::queue::Gone;
use crate::server::backend::{Connection, Ending};
use crate::server::metrics::{DialFailureReason, Metrics};

const MISMATCH: &str = "mismatched connection IDs";

/// A stream with a connection.
pub(super) struct Open {
    wire: Wire,
    connection: Connection,
    hearing: Hearing,
}

/// What is still looked at of what the frontend sends. As in the reference, `CLOSE_REQ` is the last packet that is,
/// whichever connection it names and even while the dial waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Every packet.
    Packets,
    /// The end of the stream alone.
    TheEnd,
}

/// Why the frontend's side of an open connection ended.
enum Upload {
    /// It asked for the close, or the agent takes nothing more.
    Done,
    /// It sent bytes for another connection.
    Mismatch(ConnectId),
    /// It ended the stream.
    Gone,
}

/// How both sides ended.
enum Over {
    /// The frontend was told, or has left.
    Told,
    /// It must still be told of the other connection that it named.
    Mismatch(ConnectId),
    /// It stands still in the middle of a packet.
    Stopped(Ending),
}

impl Open {
    /// Tells the frontend that its dial succeeded. One that does not take even that is given up as any other that
    /// stands still.
    pub(super) async fn begin(
        (mut wire, connection): (Wire, Connection),
        dial: DialId,
        hearing: Hearing,
    ) -> Result<Self, StreamError> {
        let id = connection.id();
        let told = tokio::select! {
            told = wire.writer.send(ToFrontend::Dialled { dial, id }) => told.map(|()| None),
            ending = connection.cut_off() => Ok(Some(ending)),
        };
        let metrics = wire.metrics.clone();
        let error = match told {
            Ok(None) => {
                return Ok(Self {
                    wire,
                    connection,
                    hearing,
                });
            }
            Ok(Some(ending)) => wire.break_off(&ending),
            Err(error) => error,
        };
        metrics.dial_failed(DialFailureReason::SendRsp);
        Err(error)
    }

    /// Carries bytes until one side ends.
    pub(super) async fn relay(self) -> Result<Wire, StreamError> {
        let Self {
            mut wire,
            connection,
            hearing,
        } = self;
        let over = both_ways(&mut wire, &connection, hearing).await;
        drop(connection);
        match over? {
            Over::Told => Ok(wire),
            Over::Mismatch(other) => {
                wire.writer.closed(other, MISMATCH).await?;
                Ok(wire)
            }
            Over::Stopped(ending) => Err(wire.break_off(&ending)),
        }
    }
}

async fn both_ways(
    wire: &mut Wire,
    connection: &Connection,
    hearing: Hearing,
) -> Result<Over, StreamError> {
    let Wire {
        reader,
        writer,
        metrics,
    } = wire;
    let mut down = std::pin::pin!(download(connection, writer));
    let ended = tokio::select! {
        biased;
        ended = upload(connection, (reader, hearing), metrics) => ended,
        stopped = &mut down => return Ok(stopped?.map_or(Over::Told, Over::Stopped)),
    };
    let told = match ended {
        Ok(Upload::Gone) => return Ok(Over::Told),
        Ok(Upload::Done) => {
            connection.close();
            Over::Told
        }
        Ok(Upload::Mismatch(id)) => {
            connection.refuse(MISMATCH);
            Over::Mismatch(id)
        }
        Err(error) => {
            // A packet that was under way has failed with the stream, and counts itself.
            drop(down.as_mut().now_or_never());
            return Err(error);
        }
    };
    let stopped = down.await?;
    Ok(stopped.map_or(told, Over::Stopped))
}

async fn upload(
    connection: &Connection,
    (reader, mut hearing): (&mut Reader, Hearing),
    metrics: &Metrics,
) -> Result<Upload, StreamError> {
    while hearing == Hearing::Packets {
        match reader.next().await? {
            Some(FromFrontend::Data { id, data }) if id == connection.id() => {
                if send(connection, data, metrics).await.is_err() {
                    return Ok(Upload::Done);
                }
            }
            Some(FromFrontend::Data { id, .. }) if id.is_none() => {}
            Some(FromFrontend::Data { id, .. }) => return Ok(Upload::Mismatch(id)),
            Some(FromFrontend::Close { id }) if id == connection.id() => return Ok(Upload::Done),
            // The reference hands it to the agent, where the id may be another frontend's; its answer gets lost.
            Some(FromFrontend::Close { .. }) => hearing = Hearing::TheEnd,
            Some(FromFrontend::Dial { .. } | FromFrontend::CancelDial { .. }) => {}
            None => return Ok(Upload::Gone),
        }
    }
    reader.discard().await?;
    Ok(Upload::Gone)
}

/// Sends to the agent; a stream that must wait for it is counted, as the reference counts one whose channel is full.
async fn send(connection: &Connection, data: Bytes, metrics: &Metrics) -> Result<(), Gone> {
    let mut sending = std::pin::pin!(connection.send(data));
    if let Some(sent) = sending.as_mut().now_or_never() {
        return sent;
    }
    let _waits = Raised::new(&metrics.full_proxy_channels);
    sending.await
}

/// Ends with the `CLOSE_RSP` of the connection, or with the reason why this frontend will never read it.
async fn download(
    connection: &Connection,
    writer: &mut Writer,
) -> Result<Option<Ending>, StreamError> {
    let id = connection.id();
    loop {
        let next = connection.next().await;
        let length = next.as_ref().map_or(0, Bytes::len);
        let last = next.is_err();
        let packet = match next {
            Ok(data) => ToFrontend::Data { id, data },
            Err(ending) => ToFrontend::Closed {
                id,
                error: ending.to_frontend(),
            },
        };
        tokio::select! {
            sent = writer.send_with(packet, || connection.took(0)) => sent?,
            ending = connection.cut_off() => return Ok(Some(ending)),
        }
        connection.took(length);
        if last {
            return Ok(None);
        }
    }
}

/// A gauge that is one higher while this lives.
struct Raised<'a>(&'a IntGauge);

impl<'a> Raised<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
