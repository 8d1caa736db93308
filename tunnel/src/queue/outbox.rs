//! What waits to be sent on the shared stream.
//!
//! In: control packets, and data of many connections through their [`Lane`]s. Out: one packet after
//! the other for the stream's writer. Control packets go first. Lanes take turns by deficit round
//! robin, so one bulk transfer puts a few packets in front of a keystroke, not megabytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::protocol::id::ConnectId;
use crate::protocol::packet::{AnyPacket, Packet};

#[cfg(test)]
mod tests;

/// Bytes one connection may have waiting before its socket is not read any more.
const LANE: usize = 256 * 1024;
/// Bytes a connection sends before it is the next one's turn.
const QUANTUM: usize = 16 * 1024;
/// Bytes of a packet while nobody else has any: larger packets are cheaper for the peer.
const ALONE: usize = 32 * 1024;
/// Replies to packets that make no sense which may wait; beyond it they are dropped, so that a
/// storm of such packets cannot make both ends wait for each other.
const REPLIES: usize = 1024;

/// The packets of one stream that wait to be sent. Clones are the same queue.
#[derive(Debug)]
pub struct Outbox<P> {
    shared: Arc<Shared<P>>,
}

#[derive(Debug)]
struct Shared<P> {
    waiting: Mutex<Waiting<P>>,
    work: Notify,
}

#[derive(Debug)]
struct Waiting<P> {
    control: VecDeque<P>,
    lanes: BTreeMap<u64, Queued<P>>,
    /// Lanes that have something to send.
    turns: VecDeque<u64>,
    last_lane: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// What waits is still sent.
    Closed,
    /// Nothing is sent any more.
    Cut,
}

#[derive(Debug)]
struct Queued<P> {
    id: ConnectId,
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes it may still send in this turn.
    credit: usize,
    /// Goes behind the last chunk.
    last: Option<P>,
    room: Arc<Notify>,
}

/// One connection's way into the outbox; its bytes keep their order. Dropping it discards what it
/// has waiting, unless it was finished.
#[derive(Debug)]
pub struct Lane<P> {
    outbox: Outbox<P>,
    key: u64,
    room: Arc<Notify>,
}

/// The stream is gone, or the connection was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended")]
pub struct Gone;

impl<P> Clone for Outbox<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P> Default for Outbox<P> {
    fn default() -> Self {
        let waiting = Waiting {
            control: VecDeque::new(),
            lanes: BTreeMap::new(),
            turns: VecDeque::new(),
            last_lane: 0,
            end: End::Open,
        };
        Self {
            shared: Arc::new(Shared {
                waiting: Mutex::new(waiting),
                work: Notify::new(),
            }),
        }
    }
}

impl<P: Packet> Outbox<P> {
    /// Sends before all data. These are bounded by dials and connections.
    pub fn control(&self, packet: P) {
        self.change(|waiting| {
            if waiting.end == End::Open {
                waiting.control.push_back(packet);
            }
        });
    }

    /// Sends before all data, unless too many wait already; says whether it was taken.
    pub fn reply(&self, packet: P) -> bool {
        self.change(|waiting| {
            let is_taken = waiting.end == End::Open && waiting.control.len() < REPLIES;
            if is_taken {
                waiting.control.push_back(packet);
            }
            is_taken
        })
    }

    /// A way in for one connection.
    pub fn lane(&self, id: ConnectId) -> Lane<P> {
        let room = Arc::new(Notify::new());
        let key = self.change(|waiting| {
            waiting.last_lane += 1;
            let queued = Queued {
                id,
                chunks: VecDeque::new(),
                bytes: 0,
                credit: 0,
                last: None,
                room: Arc::clone(&room),
            };
            waiting.lanes.insert(waiting.last_lane, queued);
            waiting.last_lane
        });
        Lane {
            outbox: self.clone(),
            key,
            room,
        }
    }

    /// Takes nothing more; [`Outbox::next`] ends when what waits is sent.
    pub fn close(&self) {
        self.end(End::Closed);
    }

    /// Drops everything and wakes everybody.
    pub fn cut(&self) {
        self.end(End::Cut);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        let waiting = self.waiting();
        waiting.control.is_empty() && waiting.turns.is_empty()
    }

    /// The next packet; `None` when there will be no more. One task asks; safe to cancel.
    pub async fn next(&self) -> Option<P> {
        loop {
            {
                let mut waiting = self.waiting();
                let packet = waiting.next();
                if packet.is_some() || waiting.end != End::Open {
                    return packet;
                }
            }
            self.shared.work.notified().await;
        }
    }

    fn end(&self, end: End) {
        self.change(|waiting| {
            if waiting.end != End::Cut {
                waiting.end = end;
            }
            if end == End::Cut {
                waiting.control.clear();
                waiting.turns.clear();
                waiting.lanes.values_mut().for_each(Queued::clear);
            }
            waiting
                .lanes
                .values()
                .for_each(|lane| lane.room.notify_one());
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Waiting<P>) -> T) -> T {
        let changed = change(&mut self.waiting());
        self.shared.work.notify_one();
        changed
    }
}

impl<P> Outbox<P> {
    /// A panic while it was held leaves the queues whole: every change is a push or a pop.
    fn waiting(&self) -> MutexGuard<'_, Waiting<P>> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Packet> Lane<P> {
    /// Queues data; waits while this connection has its share waiting already. One task sends.
    ///
    /// # Errors
    /// The stream is gone or the lane was ended.
    pub async fn send(&self, data: Bytes) -> Result<(), Gone> {
        while !self.has_room()? {
            self.room.notified().await;
        }
        self.outbox.change(|waiting| waiting.push(self.key, data));
        Ok(())
    }

    /// Bytes that wait for their turn.
    pub fn waiting(&self) -> usize {
        let waiting = self.outbox.waiting();
        waiting.lanes.get(&self.key).map_or(0, |lane| lane.bytes)
    }

    fn has_room(&self) -> Result<bool, Gone> {
        let waiting = self.outbox.waiting();
        let lane = waiting
            .lanes
            .get(&self.key)
            .filter(|lane| lane.last.is_none() && waiting.end == End::Open);
        lane.map(|lane| lane.bytes < LANE).ok_or(Gone)
    }

    /// Sends `last` behind what waits, and nothing after it.
    ///
    /// # Errors
    /// The stream is gone or the lane was ended.
    pub fn finish(&self, last: P) -> Result<(), Gone> {
        self.outbox.change(|waiting| {
            if waiting.end != End::Open {
                return Err(Gone);
            }
            let lane = waiting
                .lanes
                .get_mut(&self.key)
                .filter(|lane| lane.last.is_none());
            let lane = lane.ok_or(Gone)?;
            if lane.chunks.is_empty() {
                waiting.lanes.remove(&self.key);
                waiting.control.push_back(last);
            } else {
                lane.last = Some(last);
                lane.room.notify_one();
            }
            Ok(())
        })
    }

    /// Discards what waits and sends `last`, if there is one, before all data. A connection that was
    /// finished already is ended all the same, and says its last word only once.
    pub fn abort(&self, last: Option<P>) {
        self.outbox.change(|waiting| {
            if waiting.remove(self.key).is_some()
                && waiting.end == End::Open
                && let Some(last) = last
            {
                waiting.control.push_back(last);
            }
        });
    }
}

impl<P> Drop for Lane<P> {
    fn drop(&mut self) {
        let mut waiting = self.outbox.waiting();
        let is_finished = waiting
            .lanes
            .get(&self.key)
            .is_some_and(|lane| lane.last.is_some());
        if !is_finished {
            waiting.remove(self.key);
        }
    }
}

impl<P> Queued<P> {
    fn clear(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
        self.last = None;
    }
}

impl<P> Waiting<P> {
    fn push(&mut self, key: u64, data: Bytes) {
        let Some(lane) = self.lanes.get_mut(&key).filter(|_| !data.is_empty()) else {
            return;
        };
        if lane.chunks.is_empty() {
            self.turns.push_back(key);
        }
        lane.bytes += data.len();
        lane.chunks.push_back(data);
    }

    fn remove(&mut self, lane: u64) -> Option<Queued<P>> {
        let removed = self.lanes.remove(&lane)?;
        removed.room.notify_one();
        if !removed.chunks.is_empty() {
            self.turns.retain(|turn| *turn != lane);
        }
        Some(removed)
    }
}

impl<P: Packet> Waiting<P> {
    fn next(&mut self) -> Option<P> {
        if let Some(packet) = self.control.pop_front() {
            return Some(packet);
        }
        let turn = *self.turns.front()?;
        let is_alone = self.turns.len() == 1;
        let lane = self.lanes.get_mut(&turn)?;
        if lane.credit == 0 {
            lane.credit = if is_alone { ALONE } else { QUANTUM };
        }
        let front = lane.chunks.front_mut()?;
        let data = front.split_to(front.len().min(lane.credit));
        if front.is_empty() {
            lane.chunks.pop_front();
        }
        lane.credit -= data.len();
        lane.bytes -= data.len();
        if lane.bytes < LANE {
            lane.room.notify_one();
        }
        let id = lane.id;
        if lane.chunks.is_empty() {
            lane.credit = 0;
            self.turns.pop_front();
            if lane.last.is_some() {
                self.control
                    .extend(self.lanes.remove(&turn).and_then(|lane| lane.last));
            }
        } else if lane.credit == 0 {
            self.turns.rotate_left(1);
        }
        P::narrow(AnyPacket::Data { id, data })
    }
}
