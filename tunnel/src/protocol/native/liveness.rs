//! When to ping, and when a peer is dead: one for each end of a native connection.
//!
//! In: the time, and pongs. Out: what is due. A ping is due so long after the one before, and must
//! be answered within the same time, so a peer that falls silent is noticed within twice that.

use std::time::{Duration, Instant};

/// What must happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A ping with this number must be sent.
    Ping(u64),
    /// The peer answers no more.
    Dead,
    /// Nothing before this moment.
    Nothing(Instant),
}

/// The pings of one end.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    every: Duration,
    nonce: u64,
    next: Instant,
    /// Whether the last ping is not answered yet.
    is_waiting: bool,
}

impl Liveness {
    /// Pings at this distance; the first one is due at once.
    pub const fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            nonce: 0,
            next: now,
            is_waiting: false,
        }
    }

    /// What is due. A ping counts as sent when it is told.
    pub fn due(&mut self, now: Instant) -> Due {
        if now < self.next {
            Due::Nothing(self.next)
        } else if self.is_waiting {
            Due::Dead
        } else {
            self.nonce += 1;
            self.next = now + self.every;
            self.is_waiting = true;
            Due::Ping(self.nonce)
        }
    }

    /// Something else of the peer came: it lives, and a pong that is late may still be on its way
    /// behind other bytes.
    pub fn heard(&mut self, now: Instant) {
        if self.is_waiting && self.next <= now {
            self.next = now + self.every;
        }
    }

    /// A pong came; one of another ping means nothing.
    pub const fn pong(&mut self, nonce: u64) {
        if nonce == self.nonce {
            self.is_waiting = false;
        }
    }
}

#[cfg(test)]
mod tests;
