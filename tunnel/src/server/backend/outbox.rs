//! What waits to be sent to one agent: control packets first, then the data of its connections in fair turns.
//! In: packets of many connections. Out: one packet after the other, for the writer of the shared stream.
//! A connection that sends more than its share waits for its own turn only; nobody waits while holding the lock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::protocol::id::ConnectId;
use crate::protocol::packet::ToAgent;

/// Bytes one connection may have waiting before its frontend is not read any more.
const LANE: usize = 128 * 1024;
/// Bytes a connection may send before it is the next one's turn.
const QUANTUM: usize = 16 * 1024;

/// The agent's stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent's stream has ended")]
pub(crate) struct Gone;

/// The queue of one agent's stream.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    work: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    control: VecDeque<ToAgent>,
    lanes: HashMap<ConnectId, Lane>,
    turns: VecDeque<ConnectId>,
    gone: bool,
}

#[derive(Debug, Default)]
struct Lane {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes it may still send in this turn.
    credit: usize,
    /// Nothing follows but `CLOSE_REQ`.
    finished: bool,
    room: Arc<Notify>,
}

impl Outbox {
    /// Queues a packet that goes before all data. Control packets are bounded by dials and connections.
    pub(crate) fn control(&self, packet: ToAgent) {
        let mut waiting = self.waiting();
        if !waiting.gone {
            waiting.control.push_back(packet);
            drop(waiting);
            self.work.notify_one();
        }
    }

    /// A connection begins: from now on it may send.
    pub(crate) fn open(&self, connection: ConnectId) {
        self.waiting().lanes.entry(connection).or_default();
    }

    /// Queues data of a connection; waits while it has its share waiting already.
    pub(crate) async fn data(&self, connection: ConnectId, bytes: Bytes) -> Result<(), Gone> {
        let mut bytes = bytes;
        loop {
            let room = match self.waiting().push(connection, bytes)? {
                Pushed::Queued => break,
                Pushed::Full(back, room) => {
                    bytes = back;
                    room
                }
            };
            // One sender for each connection: a permit that came before this wait is kept for it.
            room.notified().await;
        }
        self.work.notify_one();
        Ok(())
    }

    /// Ends a connection behind the data it has waiting.
    pub(crate) fn finish(&self, connection: ConnectId) {
        let mut waiting = self.waiting();
        match waiting.lanes.get_mut(&connection) {
            Some(lane) if !lane.chunks.is_empty() => lane.finished = true,
            _ => waiting.close_now(connection),
        }
        drop(waiting);
        self.work.notify_one();
    }

    /// Ends a connection at once; what it has waiting is dropped.
    pub(crate) fn abort(&self, connection: ConnectId) {
        self.waiting().close_now(connection);
        self.work.notify_one();
    }

    /// Forgets a connection that the agent ended itself.
    pub(crate) fn forget(&self, connection: ConnectId) {
        self.waiting().remove(connection);
    }

    /// The next packet; `None` once the stream is gone. Cancel safe: a packet is taken or it is not.
    pub(crate) async fn next(&self) -> Option<ToAgent> {
        loop {
            let work = self.work.notified();
            {
                let mut waiting = self.waiting();
                if waiting.gone {
                    return None;
                }
                if let Some(packet) = waiting.next() {
                    return Some(packet);
                }
            }
            work.await;
        }
    }

    /// The stream has ended: everything waiting is dropped and everybody waiting is woken.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.gone = true;
        waiting.control.clear();
        waiting.turns.clear();
        let lanes = std::mem::take(&mut waiting.lanes);
        drop(waiting);
        for lane in lanes.into_values() {
            lane.room.notify_one();
        }
        self.work.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a chunk.
enum Pushed {
    /// It waits for its turn.
    Queued,
    /// It did not fit; try again when there is room.
    Full(Bytes, Arc<Notify>),
}

impl Waiting {
    fn push(&mut self, connection: ConnectId, bytes: Bytes) -> Result<Pushed, Gone> {
        let lane = self
            .lanes
            .get_mut(&connection)
            .filter(|lane| !lane.finished)
            .ok_or(Gone)?;
        if lane.bytes >= LANE {
            return Ok(Pushed::Full(bytes, Arc::clone(&lane.room)));
        }
        if lane.chunks.is_empty() {
            self.turns.push_back(connection);
        }
        lane.bytes += bytes.len();
        lane.chunks.push_back(bytes);
        Ok(Pushed::Queued)
    }

    /// Deficit round robin: a lane sends until its credit is used up, then goes behind the others.
    fn next(&mut self) -> Option<ToAgent> {
        if let Some(packet) = self.control.pop_front() {
            return Some(packet);
        }
        loop {
            let connection = *self.turns.front()?;
            let Some(lane) = self.lanes.get_mut(&connection) else {
                self.turns.pop_front();
                continue;
            };
            let size = lane.chunks.front().map_or(0, Bytes::len);
            if size > lane.credit {
                lane.credit += QUANTUM;
                self.turns.rotate_left(1);
                continue;
            }
            let chunk = lane.chunks.pop_front().unwrap_or_default();
            lane.credit -= size;
            lane.bytes -= size;
            if lane.bytes < LANE {
                lane.room.notify_one();
            }
            if lane.chunks.is_empty() {
                self.turns.pop_front();
                lane.credit = 0;
                if lane.finished {
                    self.close_now(connection);
                }
            }
            return Some(ToAgent::Data {
                id: connection,
                data: chunk,
            });
        }
    }

    fn close_now(&mut self, connection: ConnectId) {
        self.remove(connection);
        if !self.gone {
            self.control.push_back(ToAgent::Close { id: connection });
        }
    }

    fn remove(&mut self, connection: ConnectId) {
        if let Some(lane) = self.lanes.remove(&connection) {
            lane.room.notify_one();
            if !lane.chunks.is_empty() {
                self.turns.retain(|turn| *turn != connection);
            }
        }
    }
}
