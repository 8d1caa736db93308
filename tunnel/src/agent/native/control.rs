//! The control stream, seen from the agent: what it says, and whether the server lives.
//!
//! In: the bodies of the hello. Out: an [`Event`] for each message that somebody else must know of;
//! pings are sent, answered and judged here. Nothing waits: what cannot be sent yet is kept, and
//! that is a few messages, because a server that lives reads them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::time::{Instant, Sleep, sleep_until};

use super::NativeError;
use crate::heard::Hearing;
use crate::protocol::native::control::{Control, Decoder};
use crate::protocol::native::liveness::{Due, Liveness};

/// Messages that may wait to be sent; pongs beyond it are left out.
const UNSENT: usize = 64;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Dials may come.
    Admitted,
    /// It will not have this agent, and why.
    Refused(String),
    /// No new dials come from it.
    Drain,
    /// How many servers there are.
    Members(usize),
    /// It ended the stream.
    Ended,
}

/// Both directions of it.
#[derive(Debug)]
pub(super) struct ControlStream {
    body: RecvStream,
    sending: SendStream<Bytes>,
    decoder: Decoder,
    unsent: VecDeque<Bytes>,
    liveness: Liveness,
    every: Duration,
    hearing: Hearing,
    timer: Pin<Box<Sleep>>,
}

impl ControlStream {
    /// Pings from now on. A silent server is noticed within twice `keepalive`, what it takes to act
    /// included.
    pub(super) fn new(
        body: RecvStream,
        sending: SendStream<Bytes>,
        keepalive: Duration,
        hearing: Hearing,
    ) -> Self {
        let every = keepalive.saturating_sub(keepalive / 20);
        let now = Instant::now();
        Self {
            body,
            sending,
            decoder: Decoder::default(),
            unsent: VecDeque::new(),
            liveness: Liveness::new(every, now.into_std()),
            every,
            hearing,
            timer: Box::pin(sleep_until(now)),
        }
    }

    /// The server's next word; pings meanwhile. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Event, NativeError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Says something, as soon as [`ControlStream::next`] is asked again.
    pub(super) fn send(&mut self, message: Control) -> Result<(), NativeError> {
        self.unsent.push_back(message.encode()?);
        Ok(())
    }

    /// Says nothing more. What was said before is sent as far as the server has room for it.
    pub(super) fn end(mut self) -> Result<(), NativeError> {
        self.flush(&mut Context::from_waker(std::task::Waker::noop()))?;
        Ok(self.sending.send_data(Bytes::new(), true)?)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, NativeError>> {
        loop {
            self.flush(cx)?;
            if let Some(message) = self.decoder.next_message()? {
                if let Some(event) = self.received(message)? {
                    return Poll::Ready(Ok(event));
                }
                continue;
            }
            match self.body.poll_data(cx) {
                Poll::Ready(Some(data)) => {
                    let data = match data {
                        Ok(data) => data,
                        Err(error) if is_in_order(&error) => {
                            return Poll::Ready(Ok(Event::Ended));
                        }
                        Err(error) => return Poll::Ready(Err(error.into())),
                    };
                    self.body.flow_control().release_capacity(data.len())?;
                    self.decoder.push(&data);
                    continue;
                }
                Poll::Ready(None) => {
                    self.decoder.finish()?;
                    return Poll::Ready(Ok(Event::Ended));
                }
                Poll::Pending => {}
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.look()?;
        }
    }

    /// Sends what the windows allow.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), NativeError> {
        while let Some(message) = self.unsent.front() {
            self.sending.reserve_capacity(message.len());
            while self.sending.capacity() < message.len() {
                match self.sending.poll_capacity(cx) {
                    Poll::Ready(Some(room)) => drop(room?),
                    Poll::Ready(None) => return Err(NativeError::Ended),
                    Poll::Pending => return Ok(()),
                }
            }
            if let Some(message) = self.unsent.pop_front() {
                self.sending.send_data(message, false)?;
            }
        }
        Ok(())
    }

    /// What a message means for others.
    fn received(&mut self, message: Control) -> Result<Option<Event>, NativeError> {
        Ok(match message {
            Control::Admitted => Some(Event::Admitted),
            Control::Refused { reason } => Some(Event::Refused(reason)),
            Control::Drain => Some(Event::Drain),
            Control::Members { count, .. } => {
                Some(Event::Members(usize::try_from(count).unwrap_or(usize::MAX)))
            }
            Control::Ping { nonce } => {
                if self.unsent.len() < UNSENT {
                    self.send(Control::Pong { nonce })?;
                }
                None
            }
            Control::Pong { nonce } => {
                self.liveness.pong(nonce);
                None
            }
            // Only agents have tokens.
            Control::Token(_) => None,
        })
    }

    /// Pings, or finds the server dead.
    fn look(&mut self) -> Result<(), NativeError> {
        let now = Instant::now();
        if self.hearing.is_new() {
            self.liveness.heard(now.into_std());
        }
        loop {
            match self.liveness.due(now.into_std()) {
                Due::Ping(nonce) => self.send(Control::Ping { nonce })?,
                Due::Nothing(until) => {
                    self.timer.as_mut().reset(until.into());
                    return Ok(());
                }
                Due::Dead => return Err(NativeError::Silent(self.every)),
            }
        }
    }
}

/// Whether the server let go of the stream by itself, and nothing broke.
fn is_in_order(error: &h2::Error) -> bool {
    let is_said = error.is_remote() && (error.is_reset() || error.is_go_away());
    is_said && matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL))
}
