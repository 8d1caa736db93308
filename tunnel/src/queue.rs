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

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::protocol::budget::Crowd;

/// What may wait in all inboxes of a process together. Clones share the count.
#[derive(Clone, Debug)]
pub struct Pool {
    waiting: Arc<AtomicUsize>,
    size: usize,
}

impl Pool {
    /// So many bytes may wait.
    pub fn new(size: usize) -> Self {
        Self {
            waiting: Arc::default(),
            size,
        }
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
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
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }
}
