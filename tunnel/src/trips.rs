//! Measures round trips of a busy native connection, and says when the windows of its streams should change.
//!
//! In: HTTP/2's pings and how much was heard. Out: window sizes, as [`Window`] decides. A connection that is idle is not
//! pinged: a trip is measured each time enough bytes have come.

use std::task::{Context, Poll, ready};

use h2::{Ping, PingPong};
use tokio::time::Instant;

use crate::heard::Hearing;
use crate::protocol::native::window::{SMALLEST, Window};

/// Bytes between two measurements.
const ENOUGH: u64 = SMALLEST as u64 / 2;

/// The measurements of one end.
pub(crate) struct Trips {
    ping_pong: Option<PingPong>,
    hearing: Hearing,
    window: Window,
    state: State,
}

impl std::fmt::Debug for Trips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trips")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

enum State {
    /// Until so many bytes have come.
    Listening(u64),
    /// A ping is on its way since then, when so many bytes had come.
    Away(Instant, u64),
}

impl Trips {
    /// Of a connection whose pings nobody else uses.
    pub(crate) fn new(ping_pong: Option<PingPong>, hearing: Hearing) -> Self {
        Self {
            ping_pong,
            window: Window::default(),
            state: State::Listening(hearing.bytes() + ENOUGH),
            hearing,
        }
    }

    /// The next size that windows should have, `streams` being open. Safe to cancel.
    pub(crate) async fn next(&mut self, streams: impl Fn() -> usize) -> u32 {
        std::future::poll_fn(|cx| self.poll_next(&streams, cx)).await
    }

    fn poll_next(&mut self, streams: impl Fn() -> usize, cx: &mut Context<'_>) -> Poll<u32> {
        let Some(ping_pong) = &mut self.ping_pong else {
            return Poll::Pending;
        };
        loop {
            match self.state {
                State::Listening(mark) => {
                    ready!(self.hearing.poll_reached(mark, cx));
                    if ping_pong.send_ping(Ping::opaque()).is_err() {
                        // The connection reports its own end.
                        return Poll::Pending;
                    }
                    self.state = State::Away(Instant::now(), self.hearing.bytes());
                }
                State::Away(since, before) => {
                    if ready!(ping_pong.poll_pong(cx)).is_err() {
                        return Poll::Pending;
                    }
                    let bytes = self.hearing.bytes();
                    self.state = State::Listening(bytes + ENOUGH);
                    let sample = self
                        .window
                        .sample(bytes - before, since.elapsed(), streams());
                    if let Some(size) = sample {
                        return Poll::Ready(size);
                    }
                }
            }
        }
    }
}
