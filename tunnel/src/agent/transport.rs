//! What carries a session: one HTTP/2 connection with one gRPC stream in each direction.
//!
//! [`Packets`] is the receiving half, read by the session. [`Transport::carry`] drives the
//! connection, sends what the outbox holds and pings. Neither half waits for the other.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use h2::client::Connection;
use h2::{Ping, PingPong, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::metrics::{FROM_AGENT, Metrics, TO_AGENT};
use crate::grpc::{PacketReader, PacketWriter, StreamError};
use crate::protocol::packet::{FromAgent, Packet as _, ToAgent};
use crate::queue::Outbox;

/// A ping is answered within this, or the connection is dead.
const PONG_DEADLINE: Duration = Duration::from_secs(20);

/// Why the transport ended.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The stream of packets.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// HTTP/2 or below.
    #[error("the HTTP/2 connection failed")]
    Http(#[from] h2::Error),
    /// The server is silent.
    #[error("no answer to a ping within {PONG_DEADLINE:?}")]
    Silent,
    /// The connection ended in order.
    #[error("the connection ended")]
    Ended,
}

/// The packets a server sends.
#[derive(Debug)]
pub struct Packets {
    reader: PacketReader<ToAgent>,
    metrics: Option<Metrics>,
}

impl Packets {
    /// Of the answer to the Connect request.
    pub fn new(body: RecvStream) -> Self {
        Self {
            reader: PacketReader::new(body),
            metrics: None,
        }
    }

    /// Counts errors from now on.
    #[must_use]
    pub fn counted(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

impl Stream for Packets {
    type Item = Result<ToAgent, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = ready!(self.reader.poll_next(cx));
        if let (Err(error), Some(metrics)) = (&polled, &self.metrics) {
            let labels = [error.code(), "Unknown", TO_AGENT];
            metrics.stream_errors.with_label_values(&labels).inc();
        }
        Poll::Ready(polled.map_err(TransportError::from).transpose())
    }
}

/// Drives one connection and sends on its stream.
#[derive(Debug)]
pub struct Transport {
    connection: Connection<TlsStream<TcpStream>>,
    writer: PacketWriter,
    pings: Option<PingPong>,
    keepalive: Duration,
}

impl Transport {
    /// Of a connection that was just opened.
    pub fn new(
        connection: Connection<TlsStream<TcpStream>>,
        stream: SendStream<Bytes>,
        pings: Option<PingPong>,
        keepalive: Duration,
    ) -> Self {
        Self {
            connection,
            writer: PacketWriter::new(stream),
            pings,
            keepalive,
        }
    }

    /// Carries until the connection breaks, or until the outbox is closed and sent.
    pub async fn carry(self, outbox: Outbox<FromAgent>, metrics: Metrics) -> TransportError {
        let mut connection = std::pin::pin!(self.connection);
        let written = tokio::select! {
            ended = &mut connection => return ended.map_or_else(Into::into, |()| TransportError::Ended),
            error = ping(self.pings, self.keepalive) => return error,
            written = write(self.writer, &outbox, &metrics) => written,
        };
        match written {
            // The end of the stream is still on its way.
            Ok(()) => connection
                .await
                .map_or_else(Into::into, |()| TransportError::Ended),
            Err(error) => error.into(),
        }
    }
}

/// Sends what the outbox holds until it is closed and empty.
async fn write(
    mut writer: PacketWriter,
    outbox: &Outbox<FromAgent>,
    metrics: &Metrics,
) -> Result<(), StreamError> {
    while let Some(packet) = outbox.next().await {
        let name = packet.name();
        metrics.packets.with_label_values(&[name, FROM_AGENT]).inc();
        writer.send(packet).await.inspect_err(|error| {
            let labels = [error.code(), name, FROM_AGENT];
            metrics.stream_errors.with_label_values(&labels).inc();
        })?;
    }
    writer.end()
}

/// Pings for ever; returns when one is not answered.
async fn ping(pings: Option<PingPong>, every: Duration) -> TransportError {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(every).await;
        match timeout(PONG_DEADLINE, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error.into(),
            Err(_elapsed) => return TransportError::Silent,
        }
    }
}
