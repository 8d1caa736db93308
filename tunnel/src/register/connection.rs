//! An open connection, and the stream it came through, as the register knows them.
//!
//! In: what the wires tell while bytes pass. Out: their lines of the [status](crate::status). What
//! a connection costs here is this struct: a few numbers and the name of its destination.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Register;
use super::flow::Flow;
use crate::status::document;

/// Connections that are listed at most; the others are counted.
pub const LISTED: usize = 1000;

/// One stream to the other half of the tunnel: an agent of a server, a server of an agent.
#[derive(Debug)]
pub struct Peer {
    name: String,
    wire: &'static str,
    since: Instant,
    open: AtomicUsize,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From kube-apiserver to what it dialled.
    ToEndpoint,
    /// Back.
    FromEndpoint,
}

/// Where a wire keeps bytes of one connection beside what its carrier has in hand.
pub trait Queue: Send + Sync {
    /// Bytes that wait, those in hand among them if the wire counts so.
    fn waiting(&self, direction: Direction) -> usize;
}

/// One open connection.
#[derive(Debug)]
pub struct Open {
    peer: Arc<Peer>,
    destination: Box<str>,
    since: Instant,
    to_endpoint: Flow,
    from_endpoint: Flow,
    queue: Option<Weak<dyn Queue>>,
}

impl Peer {
    /// A stream that begins now.
    pub fn new(name: &str, wire: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            wire,
            since: Instant::now(),
            open: AtomicUsize::new(0),
        }
    }

    /// Connections that are open through it.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Its line of the status.
    pub fn describe(&self, state: &str, identifiers: Vec<String>) -> document::Peer {
        document::Peer {
            name: self.name.clone(),
            wire: self.wire.to_owned(),
            state: state.to_owned(),
            identifiers,
            age_ms: millis(self.since.elapsed()),
            connections: self.connections(),
        }
    }
}

impl Open {
    /// A connection through `peer` that opens now.
    pub fn new(peer: &Arc<Peer>, destination: &str) -> Self {
        peer.open.fetch_add(1, Ordering::Relaxed);
        Self {
            peer: Arc::clone(peer),
            destination: destination.into(),
            since: Instant::now(),
            to_endpoint: Flow::default(),
            from_endpoint: Flow::default(),
            queue: None,
        }
    }

    /// Says where the wire keeps what waits.
    #[must_use]
    pub fn queued_in<Q: Queue + 'static>(mut self, queue: &Arc<Q>) -> Self {
        let queue: Weak<Q> = Arc::downgrade(queue);
        self.queue = Some(queue);
        self
    }

    /// So many bytes are in hand, and somebody must take them.
    pub fn holds(&self, direction: Direction, bytes: usize) {
        self.flow(direction).holds(bytes, self.age());
    }

    /// So many bytes were taken; 0 says that it moves.
    pub fn passed(&self, direction: Direction, bytes: usize) {
        self.flow(direction).passed(bytes, self.age());
    }

    /// What was in hand was taken, whatever it was.
    pub fn passed_all(&self, direction: Direction) {
        let held = self.flow(direction).held();
        if held > 0 {
            self.passed(direction, usize::try_from(held).unwrap_or(usize::MAX));
        }
    }

    /// Its line of the status.
    pub fn describe(&self, number: u64) -> document::Connection {
        let queue = self.queue.as_ref().and_then(Weak::upgrade);
        let age_ms = self.age();
        let flow = |direction| {
            let flow = self.flow(direction);
            let queued = queue
                .as_ref()
                .map_or(0, |queue| queue.waiting(direction) as u64);
            document::Flow {
                bytes: flow.total(),
                waiting: flow.held().max(queued),
                idle_ms: flow.idle(age_ms),
                stalled_ms: flow.stalled(age_ms),
            }
        };
        document::Connection {
            number,
            peer: self.peer.name.clone(),
            wire: self.peer.wire.to_owned(),
            destination: self.destination.to_string(),
            age_ms,
            to_endpoint: flow(Direction::ToEndpoint),
            from_endpoint: flow(Direction::FromEndpoint),
        }
    }

    fn stalled(&self) -> u64 {
        let age = self.age();
        self.to_endpoint
            .stalled(age)
            .max(self.from_endpoint.stalled(age))
    }

    fn age(&self) -> u64 {
        millis(self.since.elapsed())
    }

    fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::ToEndpoint => &self.to_endpoint,
            Direction::FromEndpoint => &self.from_endpoint,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.peer.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Register<Open> {
    /// The connections of the status: those that stand still the longest first, then the oldest.
    pub fn describe(&self) -> document::Connections {
        let mut open = self.list();
        let count = open.len();
        // Cached: the numbers move while they are sorted.
        open.sort_by_cached_key(|(number, open)| (Reverse(open.stalled()), *number));
        open.truncate(LISTED);
        document::Connections {
            open: count,
            truncated: count - open.len(),
            listed: open
                .iter()
                .map(|(number, open)| open.describe(*number))
                .collect(),
        }
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
