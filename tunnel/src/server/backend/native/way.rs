//! One connection of the native mode: the two halves of an HTTP/2 stream.
//!
//! In: bytes, read from the frontend before any window is asked for. Out: bytes from the agent, whose window is given
//! back only when the frontend [took](Way::took) them; that is the whole isolation. Both halves are driven by one task;
//! the locks are held for one step, never while waiting.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::super::Ending;
use crate::protocol::budget::Stalled;
use crate::protocol::native::{error_text, error_trailers};
use crate::queue::Gone;
use crate::register::connection::{Direction, Queue};
use crate::room::poll_room;
use crate::server::metrics::{Metrics, PacketKind, Segment};

/// After a close, the endpoint has this long to take the rest and end by itself.
const CLOSE: Duration = Duration::from_secs(2);
/// After the agent's reset or loss, a frontend that takes nothing of the rest for this long is given up.
const PARTING: Duration = Duration::from_secs(10);

/// See [`Connection`](super::super::Connection) for what its verbs mean.
#[derive(Debug)]
pub(in super::super) struct Way {
    sending: Mutex<Sending>,
    receiving: Mutex<Receiving>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Sending {
    stream: SendStream<Bytes>,
    is_ended: bool,
}

#[derive(Debug)]
struct Receiving {
    stream: RecvStream,
    ending: Option<Ending>,
    /// When both directions are cut after a close.
    overdue: Option<Pin<Box<Sleep>>>,
    /// When the frontend took something last.
    moved: Instant,
}

impl Way {
    pub(super) fn new(sending: SendStream<Bytes>, receiving: RecvStream, metrics: Metrics) -> Self {
        Self {
            sending: Mutex::new(Sending {
                stream: sending,
                is_ended: false,
            }),
            receiving: Mutex::new(Receiving {
                stream: receiving,
                ending: None,
                overdue: None,
                moved: Instant::now(),
            }),
            metrics,
        }
    }

    pub(in super::super) async fn send(&self, mut bytes: Bytes) -> Result<(), Gone> {
        while !bytes.is_empty() {
            let room = poll_fn(|cx| self.sending().poll_room(bytes.len(), cx)).await?;
            let piece = bytes.split_to(room.min(bytes.len()));
            self.metrics.packet(Segment::ToAgent, PacketKind::Data);
            self.sending()
                .stream
                .send_data(piece, false)
                .map_err(|_ended| Gone)?;
        }
        Ok(())
    }

    pub(in super::super) fn finish(&self) {
        let mut sending = self.sending();
        if sending.is_ended {
            return;
        }
        sending.is_ended = true;
        self.metrics.packet(Segment::ToAgent, PacketKind::CloseReq);
        if let Err(error) = sending.stream.send_data(Bytes::new(), true) {
            tracing::debug!(%error, "closed by the agent before it was asked to");
        }
    }

    pub(in super::super) fn close(&self) {
        self.finish();
        self.receiving().overdue = Some(Box::pin(sleep(CLOSE)));
    }

    pub(in super::super) fn refuse(&self, reason: &str) {
        let ending = Ending::AgentClosed(reason.to_owned());
        self.receiving().ending.get_or_insert(ending);
        self.fail(reason);
    }

    pub(in super::super) fn fail(&self, reason: &str) {
        let mut sending = self.sending();
        if sending.is_ended {
            return;
        }
        sending.is_ended = true;
        self.metrics.packet(Segment::ToAgent, PacketKind::CloseReq);
        if let Err(error) = sending.stream.send_trailers(error_trailers(reason)) {
            tracing::debug!(%error, "the agent cannot be told why");
        }
    }

    pub(in super::super) async fn next(&self) -> Result<Bytes, Ending> {
        let next = poll_fn(|cx| self.receiving().poll_next(cx)).await;
        match &next {
            Ok(_) => self.metrics.packet(Segment::FromAgent, PacketKind::Data),
            Err(Ending::AgentClosed(_) | Ending::EndpointDone) => {
                self.metrics
                    .packet(Segment::FromAgent, PacketKind::CloseRsp);
            }
            Err(Ending::AgentLost | Ending::Stalled(_)) => {}
        }
        next
    }

    pub(in super::super) fn took(&self, bytes: usize) {
        let mut receiving = self.receiving();
        receiving.moved = Instant::now();
        if let Err(error) = receiving.stream.flow_control().release_capacity(bytes) {
            tracing::debug!(%error, "window given back that was never used");
        }
    }

    pub(in super::super) fn ending(&self) -> Option<Ending> {
        self.receiving().ending.clone()
    }

    /// A frontend that stands still costs nobody anything but itself. Only when the agent is gone there is nobody left
    /// to wait for the rest of the bytes.
    pub(in super::super) async fn cut_off(&self) -> Ending {
        self.gone().await;
        loop {
            let until = self.receiving().moved + PARTING;
            if until <= Instant::now() {
                break;
            }
            sleep_until(until).await;
        }
        let mut receiving = self.receiving();
        let waiting = receiving.stream.flow_control().used_capacity();
        let stalled = Ending::Stalled(Stalled {
            waiting,
            patience: PARTING,
        });
        receiving.ending.get_or_insert(stalled).clone()
    }

    /// Resolves when the stream was reset or lost.
    pub(in super::super) async fn gone(&self) {
        let reset = poll_fn(|cx| self.sending().stream.poll_reset(cx)).await;
        tracing::trace!(?reset, "the agent takes nothing more");
    }

    /// The frontend is gone. Unless it had finished, what still waits for the agent is of no use to anybody. If it had,
    /// that goes first, and a reset behind it tells that nobody reads the answers: h2 sends one for a dropped stream.
    pub(in super::super) fn abandon(&self) {
        if self.ending().is_none() && !self.sending().is_ended {
            self.metrics.packet(Segment::ToAgent, PacketKind::CloseReq);
            self.sending().stream.send_reset(Reason::CANCEL);
        }
    }

    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.receiving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for Way {
    fn waiting(&self, direction: Direction) -> usize {
        match direction {
            // Nothing waits here but what the frontend's side has in hand.
            Direction::ToEndpoint => 0,
            Direction::FromEndpoint => self.receiving().stream.flow_control().used_capacity(),
        }
    }
}

impl Sending {
    /// Room for at most `wanted` bytes, as soon as there is any.
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        if self.is_ended {
            return Poll::Ready(Err(Gone));
        }
        match ready!(poll_room(&mut self.stream, wanted, cx)) {
            Some(Ok(room)) => Poll::Ready(Ok(room)),
            Some(Err(_)) | None => Poll::Ready(Err(Gone)),
        }
    }
}

impl Receiving {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ending>> {
        if let Some(ending) = &self.ending {
            return Poll::Ready(Err(ending.clone()));
        }
        let ending = match self.stream.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => return Poll::Ready(Ok(data)),
            Poll::Ready(Some(Err(error))) => ending(&error),
            Poll::Ready(None) => match ready!(self.stream.poll_trailers(cx)) {
                Ok(trailers) => match trailers.as_ref().and_then(error_text) {
                    Some(text) => Ending::AgentClosed(text),
                    None => Ending::EndpointDone,
                },
                Err(error) => ending(&error),
            },
            Poll::Pending => {
                ready!(self.poll_overdue(cx));
                Ending::AgentClosed(String::new())
            }
        };
        self.ending = Some(ending.clone());
        Poll::Ready(Err(ending))
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.overdue {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// A reset is the agent's word about this connection; all else is the end of the whole stream of streams.
fn ending(error: &h2::Error) -> Ending {
    match error.reason().filter(|_| error.is_reset()) {
        Some(reason) => Ending::AgentClosed(format!("the agent reset the connection: {reason}")),
        None => Ending::AgentLost,
    }
}
