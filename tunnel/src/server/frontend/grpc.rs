//! The gRPC frontend: one `ProxyService.Proxy` stream carries one connection.
//! In: the packets of a frontend. Out: the reference's answers to them, and bytes.
//!
//! The stream's life is three types, so that what makes no sense cannot be written: [`AwaitDial`] has no agent,
//! [`Dialing`] waits for one, [`Open`] has a connection. When the connection is over, what the frontend still sends
//! is discarded until it ends the stream, as it does at once.

use super::{DialError, Dialer};
use crate::grpc::{PacketReader, PacketWriter, StreamError};
use crate::protocol::destination::Destination;
use crate::protocol::id::DialId;
use crate::protocol::packet::{FromFrontend, ToFrontend};
use crate::server::backend::Connection;
use crate::server::metrics::Metrics;

mod open;
mod wire;

use open::{Hearing, Open};
use wire::Wire;

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
        wire: Wire::new(reader, writer, metrics),
        past: Past::Nothing,
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
    past: Past,
}

/// Whether the stream has had an agent, which a frontend's packets for a connection would go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// It has not: such packets are answered.
    Nothing,
    /// Its dial was given up: the agent knows no connection, and what it would say of that reaches nobody.
    Dial,
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

impl AwaitDial {
    async fn dial_request(mut self) -> Result<Next<Dialing>, StreamError> {
        let Wire { reader, writer, .. } = &mut self.wire;
        loop {
            match (reader.next().await?, self.past) {
                (
                    Some(FromFrontend::Dial {
                        dial,
                        protocol,
                        address,
                    }),
                    _,
                ) => {
                    return Ok(Next::Stage(Dialing {
                        wire: self.wire,
                        dial,
                        protocol,
                        address,
                    }));
                }
                (Some(FromFrontend::Data { id, .. }), Past::Nothing) => {
                    writer.closed(id, "backend not initialized").await?;
                    return Ok(Next::Over(self.wire));
                }
                (Some(FromFrontend::Close { id }), Past::Nothing) => {
                    writer.closed(id, "backend uninitialized").await?;
                }
                (Some(FromFrontend::Data { .. } | FromFrontend::CancelDial { .. }), _) => {}
                (Some(FromFrontend::Close { .. }), Past::Dial) | (None, _) => {
                    return Ok(Next::Over(self.wire));
                }
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
        let mut hearing = Hearing::Packets;
        let dialled = {
            let mut dialled = std::pin::pin!(connect(dialer, &protocol, &address));
            loop {
                tokio::select! {
                    dialled = &mut dialled => break dialled,
                    packet = wire.reader.next() => match packet? {
                        None => return Ok(Next::Over(wire)),
                        Some(_) if hearing == Hearing::TheEnd => {}
                        Some(FromFrontend::CancelDial { dial: which }) if which == dial => {
                            break Err(DialError::Cancelled);
                        }
                        Some(FromFrontend::Close { .. }) => hearing = Hearing::TheEnd,
                        Some(_) => {}
                    },
                }
            }
        };
        match dialled {
            Ok(connection) => {
                let open = Open::begin((wire, connection), dial, hearing).await?;
                Ok(Next::Stage(Answered::Open(Box::new(open))))
            }
            Err(DialError::Cancelled) => {
                let past = Past::Dial;
                Ok(Next::Stage(Answered::Cancelled(AwaitDial { wire, past })))
            }
            Err(error) => {
                let error = error.to_string();
                let failed = ToFrontend::DialFailed { dial, error };
                wire.writer.send(failed).await?;
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

/// Counts a stream while it is served.
struct Stream(Metrics);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.proxy_streams.dec();
    }
}
