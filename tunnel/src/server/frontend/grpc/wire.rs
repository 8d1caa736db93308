//! A frontend's stream as its stages use it: packets in, packets out, each of them and each failure counted.
//! In: the two halves of the stream. Out: the same, under the names of the metrics.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::grpc::{Code, PacketReader, PacketWriter, Status, StreamError};
use crate::protocol::id::ConnectId;
use crate::protocol::packet::{FromFrontend, ToFrontend};
use crate::server::backend::Ending;
use crate::server::metrics::{Metrics, PacketKind, Segment};

/// A frontend that is told that all is over has this long to end its stream.
const PARTING: Duration = Duration::from_secs(10);

/// The two halves of a frontend's stream.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) metrics: Metrics,
}

/// What the frontend sends.
#[derive(Debug)]
pub(super) struct Reader {
    packets: PacketReader<FromFrontend>,
    metrics: Metrics,
}

/// What the frontend gets.
#[derive(Debug)]
pub(super) struct Writer {
    packets: PacketWriter,
    metrics: Metrics,
}

impl Wire {
    pub(super) fn new(
        reader: PacketReader<FromFrontend>,
        writer: PacketWriter,
        metrics: Metrics,
    ) -> Self {
        Self {
            reader: Reader {
                packets: reader,
                metrics: metrics.clone(),
            },
            writer: Writer {
                packets: writer,
                metrics: metrics.clone(),
            },
            metrics,
        }
    }

    /// Discards what still comes, then ends the stream with OK.
    pub(super) async fn part(mut self) -> Result<(), StreamError> {
        drop(timeout(PARTING, self.reader.discard()).await);
        self.writer.packets.finish(&Status::ok())
    }

    /// Ends the stream in the middle of a packet: only the trailers still have a meaning.
    pub(super) fn break_off(self, ending: &Ending) -> StreamError {
        let status = Status::new(Code::ResourceExhausted, ending.to_string());
        let told = self.writer.packets.finish(&status);
        told.err().unwrap_or(StreamError::Ended)
    }
}

impl Reader {
    /// The next packet; `None` when the frontend has ended the stream in order. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Option<FromFrontend>, StreamError> {
        let next = self.packets.next().await;
        match &next {
            Ok(Some(packet)) => self.metrics.packet(Segment::FromClient, kind_from(packet)),
            Ok(None) => {}
            Err(error) => self
                .metrics
                .stream_failed(Segment::FromClient, error.code(), None),
        }
        next
    }

    /// Looks at nothing more until the frontend has ended the stream.
    pub(super) async fn discard(&mut self) -> Result<(), StreamError> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

impl Writer {
    pub(super) async fn send(&mut self, packet: ToFrontend) -> Result<(), StreamError> {
        self.send_with(packet, || {}).await
    }

    /// [`Writer::send`], calling `moved` each time the frontend has taken something. Not safe to cancel: see
    /// [`Wire::break_off`].
    pub(super) async fn send_with(
        &mut self,
        packet: ToFrontend,
        moved: impl FnMut(),
    ) -> Result<(), StreamError> {
        let kind = kind_to(&packet);
        self.metrics.packet(Segment::ToClient, kind);
        let started = Instant::now();
        let sent = self.packets.send_with(packet, moved).await;
        let took = started.elapsed().as_secs_f64();
        self.metrics.frontend_write_duration.observe(took);
        if let Err(error) = &sent {
            self.metrics
                .stream_failed(Segment::ToClient, error.code(), Some(kind));
        }
        sent
    }

    /// Sends `CLOSE_RSP`.
    pub(super) async fn closed(&mut self, id: ConnectId, error: &str) -> Result<(), StreamError> {
        self.send(ToFrontend::Closed {
            id,
            error: error.to_owned(),
        })
        .await
    }
}

fn kind_from(packet: &FromFrontend) -> PacketKind {
    match packet {
        FromFrontend::Dial { .. } => PacketKind::DialReq,
        FromFrontend::CancelDial { .. } => PacketKind::DialCls,
        FromFrontend::Data { .. } => PacketKind::Data,
        FromFrontend::Close { .. } => PacketKind::CloseReq,
    }
}

fn kind_to(packet: &ToFrontend) -> PacketKind {
    match packet {
        ToFrontend::Dialled { .. } | ToFrontend::DialFailed { .. } => PacketKind::DialRsp,
        ToFrontend::Data { .. } => PacketKind::Data,
        ToFrontend::Closed { .. } => PacketKind::CloseRsp,
    }
}
