//! The gRPC frontend: one `ProxyService.Proxy` stream carries one connection.
//! In: the packets of a frontend. Out: the reference's answers to them, and bytes.
//!
//! The stream's life is three types, so that what makes no sense cannot be written: [`AwaitDial`] has no agent,
//! [`Dialing`] waits for one, [`Open`] has a connection. When the connection is over, what the frontend still sends
//! is discarded until it ends the stream, as it does at once.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{DialError, Dialer};
use crate::grpc::{Code, PacketReader, PacketWriter, Status, StreamError};
use crate::protocol::destination::Destination;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromFrontend, ToFrontend};
use crate::server::backend::{Connection, Ending};
use crate::server::metrics::{Metrics, PacketKind, Segment};

/// A frontend that is told that all is over has this long to end its stream.
const PARTING: Duration = Duration::from_secs(10);

/// The two halves of a frontend's stream.
#[derive(Debug)]
struct Wire {
    reader: PacketReader<FromFrontend>,
    writer: PacketWriter,
    metrics: Metrics,
}

/// How a stage of the stream ends.
enum Next<T> {
    /// The next stage begins.
    Stage(T),
    /// Nothing more happens on this stream.
    Over(Wire),
}

/// Serves one stream to its end.
pub(crate) async fn serve(
    reader: PacketReader<FromFrontend>,
    writer: PacketWriter,
    dialer: Dialer,
    metrics: Metrics,
) -> Result<(), StreamError> {
    metrics.proxy_streams.inc();
    let _open = Stream(metrics.clone());
    let mut stage = AwaitDial {
        wire: Wire {
            reader,
            writer,
            metrics,
        },
    };
    let wire = loop {
        let dialing = match stage.dial_request().await? {
            Next::Stage(dialing) => dialing,
            Next::Over(wire) => break wire,
        };
        match dialing.answer(&dialer).await? {
            Next::Stage(Answered::Open(open)) => break open.relay().await?,
            Next::Stage(Answered::Cancelled(again)) => stage = again,
            Next::Over(wire) => break wire,
        }
    };
    wire.part().await
}

/// A stream without a connection.
struct AwaitDial {
    wire: Wire,
}

/// A stream that waits for an agent's answer.
struct Dialing {
    wire: Wire,
    dial: DialId,
    protocol: String,
    address: String,
}

/// What became of a dial.
enum Answered {
    Open(Box<Open>),
    Cancelled(AwaitDial),
}

/// A stream with a connection.
struct Open {
    wire: Wire,
    connection: Connection,
}

impl AwaitDial {
    async fn dial_request(mut self) -> Result<Next<Dialing>, StreamError> {
        loop {
            match self.wire.next().await? {
                Some(FromFrontend::Dial {
                    dial,
                    protocol,
                    address,
                }) => {
                    return Ok(Next::Stage(Dialing {
                        wire: self.wire,
                        dial,
                        protocol,
                        address,
                    }));
                }
                Some(FromFrontend::Data { id, .. }) => {
                    self.wire.closed(id, "backend not initialized").await?;
                    return Ok(Next::Over(self.wire));
                }
                Some(FromFrontend::Close { id }) => {
                    self.wire.closed(id, "backend uninitialized").await?;
                }
                Some(FromFrontend::CancelDial { .. }) => {}
                None => return Ok(Next::Over(self.wire)),
            }
        }
    }
}

impl Dialing {
    async fn answer(self, dialer: &Dialer) -> Result<Next<Answered>, StreamError> {
        let Self {
            mut wire,
            dial,
            protocol,
            address,
        } = self;
        let dialled = {
            let mut dialled = std::pin::pin!(connect(dialer, &protocol, &address));
            loop {
                tokio::select! {
                    dialled = &mut dialled => break dialled,
                    packet = wire.reader.next() => match wire.counted(packet)? {
                        Some(FromFrontend::CancelDial { dial: which }) if which == dial => {
                            break Err(DialError::Cancelled);
                        }
                        Some(_) => {}
                        None => return Ok(Next::Over(wire)),
                    },
                }
            }
        };
        match dialled {
            Ok(connection) => {
                wire.send(ToFrontend::Dialled {
                    dial,
                    id: connection.id(),
                })
                .await?;
                Ok(Next::Stage(Answered::Open(Box::new(Open {
                    wire,
                    connection,
                }))))
            }
            Err(DialError::Cancelled) => Ok(Next::Stage(Answered::Cancelled(AwaitDial { wire }))),
            Err(error) => {
                wire.send(ToFrontend::DialFailed {
                    dial,
                    error: error.to_string(),
                })
                .await?;
                Ok(Next::Over(wire))
            }
        }
    }
}

async fn connect(dialer: &Dialer, protocol: &str, address: &str) -> Result<Connection, DialError> {
    let refused =
        |reason: String| DialError::Refused(format!("dial {protocol} {address}: {reason}"));
    if protocol != "tcp" {
        return Err(refused("only tcp is carried".to_owned()));
    }
    let destination = Destination::tcp(address).map_err(|error| refused(error.to_string()))?;
    dialer.dial(&destination).await
}

/// Why the frontend's side of an open connection ended.
enum Upload {
    /// It asked for the close, or the agent takes nothing more.
    Done,
    /// It named a connection that is not this stream's.
    Mismatch(ConnectId),
    /// It ended the stream.
    Gone,
}

impl Open {
    async fn relay(self) -> Result<Wire, StreamError> {
        let Self {
            mut wire,
            connection,
        } = self;
        let (mut other, mut stopped) = (None, None);
        {
            let Wire {
                reader,
                writer,
                metrics,
            } = &mut wire;
            let mut down = std::pin::pin!(download(&connection, writer, metrics));
            tokio::select! {
                ended = &mut down => stopped = ended?,
                upload = upload(&connection, reader, metrics) => match upload? {
                    Upload::Gone => {}
                    Upload::Done => {
                        connection.close();
                        stopped = down.await?;
                    }
                    Upload::Mismatch(id) => {
                        connection.refuse("mismatched connection IDs");
                        stopped = down.await?;
                        other = Some(id);
                    }
                },
            }
        }
        drop(connection);
        if let Some(ending) = stopped {
            // It stands in the middle of a packet: only the trailers still have a meaning.
            wire.writer
                .finish(&Status::new(Code::ResourceExhausted, ending.to_string()))?;
            return Err(StreamError::Ended);
        }
        if let Some(id) = other {
            wire.closed(id, "mismatched connection IDs").await?;
        }
        Ok(wire)
    }
}

async fn upload(
    connection: &Connection,
    reader: &mut PacketReader<FromFrontend>,
    metrics: &Metrics,
) -> Result<Upload, StreamError> {
    loop {
        match count(metrics, reader.next().await)? {
            Some(FromFrontend::Data { id, data }) if id == connection.id() => {
                if connection.send(data).await.is_err() {
                    return Ok(Upload::Done);
                }
            }
            Some(FromFrontend::Close { id }) if id == connection.id() => return Ok(Upload::Done),
            Some(FromFrontend::Data { id, .. }) if id.is_none() => {}
            Some(FromFrontend::Data { id, .. } | FromFrontend::Close { id }) => {
                return Ok(Upload::Mismatch(id));
            }
            Some(FromFrontend::Dial { .. } | FromFrontend::CancelDial { .. }) => {}
            None => return Ok(Upload::Gone),
        }
    }
}

/// Ends with the `CLOSE_RSP` of the connection, or with the reason why this frontend will never read it.
async fn download(
    connection: &Connection,
    writer: &mut PacketWriter,
    metrics: &Metrics,
) -> Result<Option<Ending>, StreamError> {
    let id = connection.id();
    loop {
        let next = connection.next().await;
        let (kind, last) = match &next {
            Ok(_) => (PacketKind::Data, false),
            Err(_) => (PacketKind::CloseRsp, true),
        };
        let length = next.as_ref().map_or(0, Bytes::len);
        let packet = match next {
            Ok(data) => ToFrontend::Data { id, data },
            Err(ending) => ToFrontend::Closed {
                id,
                error: ending.to_frontend(),
            },
        };
        metrics.packet(Segment::ToClient, kind);
        let started = Instant::now();
        tokio::select! {
            sent = writer.send_with(packet, || connection.took(0)) => sent?,
            ending = connection.cut_off() => return Ok(Some(ending)),
        }
        connection.took(length);
        let took = started.elapsed().as_secs_f64();
        metrics.frontend_write_duration.observe(took);
        if last {
            return Ok(None);
        }
    }
}

impl Wire {
    async fn next(&mut self) -> Result<Option<FromFrontend>, StreamError> {
        let packet = self.reader.next().await;
        self.counted(packet)
    }

    fn counted(
        &self,
        packet: Result<Option<FromFrontend>, StreamError>,
    ) -> Result<Option<FromFrontend>, StreamError> {
        count(&self.metrics, packet)
    }

    async fn send(&mut self, packet: ToFrontend) -> Result<(), StreamError> {
        let kind = match packet {
            ToFrontend::Dialled { .. } | ToFrontend::DialFailed { .. } => PacketKind::DialRsp,
            ToFrontend::Data { .. } => PacketKind::Data,
            ToFrontend::Closed { .. } => PacketKind::CloseRsp,
        };
        self.metrics.packet(Segment::ToClient, kind);
        let sent = self.writer.send(packet).await;
        if let Err(error) = &sent {
            self.metrics
                .stream_failed(Segment::ToClient, error.code(), Some(kind));
        }
        sent
    }

    async fn closed(&mut self, id: ConnectId, error: &str) -> Result<(), StreamError> {
        self.send(ToFrontend::Closed {
            id,
            error: error.to_owned(),
        })
        .await
    }

    /// Discards what still comes, then ends the stream with OK.
    async fn part(mut self) -> Result<(), StreamError> {
        let discarded = timeout(PARTING, async {
            while let Ok(Some(_)) = self.reader.next().await {}
        });
        drop(discarded.await);
        self.writer.finish(&Status::ok())
    }
}

fn count(
    metrics: &Metrics,
    packet: Result<Option<FromFrontend>, StreamError>,
) -> Result<Option<FromFrontend>, StreamError> {
    let kind = match &packet {
        Ok(Some(FromFrontend::Dial { .. })) => PacketKind::DialReq,
        Ok(Some(FromFrontend::CancelDial { .. })) => PacketKind::DialCls,
        Ok(Some(FromFrontend::Data { .. })) => PacketKind::Data,
        Ok(Some(FromFrontend::Close { .. })) => PacketKind::CloseReq,
        Ok(None) => return packet,
        Err(error) => {
            metrics.stream_failed(Segment::FromClient, error.code(), None);
            return packet;
        }
    };
    metrics.packet(Segment::FromClient, kind);
    packet
}

/// Counts a stream while it is served.
struct Stream(Metrics);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.proxy_streams.dec();
    }
}
