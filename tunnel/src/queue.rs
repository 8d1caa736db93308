//! Queues bounded in bytes, between tasks of one data thread.
//!
//! [`Inbox`] holds what came over the shared stream for one connection, until its frontend or
//! endpoint takes it: pushing never waits, and who stands still is noticed. [`Outbox`] holds what
//! is to be sent on the shared stream: control packets first, then the connections in fair turns;
//! a sender waits for its own turn only. [`Pool`] counts the bytes of all inboxes of a process.
//!
//! ```text
//!  shared stream ─► reader ─► Inbox ─► one frontend or endpoint       (one Inbox per connection)
//!  shared stream ◄─ writer ◄─ Outbox ◄─ Lane ◄─ one frontend or endpoint
//! ```
//!
//! Each is a short critical section under a standard mutex, never held across an await: on one
//! thread it is free of contention, and futures stay `Send` for whoever tests them elsewhere.

mod inbox;
mod outbox;

pub use inbox::{Inbox, Pushed, Stop};
pub use outbox::{Gone, Lane, Outbox};

use prometheus::IntGauge;

use crate::protocol::budget::Crowd;

/// What may wait in all inboxes of a process together. Clones share the count.
#[derive(Clone, Debug)]
pub struct Pool {
    waiting: IntGauge,
    size: i64,
}

impl Pool {
    /// So many bytes may wait; `waiting` is the metric that counts them.
    pub fn new(size: usize, waiting: IntGauge) -> Self {
        Self {
            waiting,
            size: signed(size),
        }
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> i64 {
        self.waiting.get()
    }

    /// Whether there is room for more.
    pub fn crowd(&self) -> Crowd {
        if self.waiting() >= self.size {
            Crowd::Full
        } else {
            Crowd::Sparse
        }
    }

    fn add(&self, bytes: usize) {
        self.waiting.add(signed(bytes));
    }

    fn remove(&self, bytes: usize) {
        self.waiting.sub(signed(bytes));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
