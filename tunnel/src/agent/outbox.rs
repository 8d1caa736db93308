//! What waits to be sent to one server: answers first, then the connections in turn.
//!
//! A stream carries every connection of an agent, so whoever fills it delays the others. Here a
//! [`Lane`] has at most [`AHEAD`] packets waiting, and lanes are served in the order they asked:
//! one bulk transfer puts a few packets in front of a keystroke, not megabytes. Answers to dials
//! overtake all data. Nobody who reads the stream ever waits here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Packets one connection may have waiting.
const AHEAD: usize = 2;
/// Replies to packets for unknown connections that may wait; beyond it they are dropped, so that a
/// storm of such packets cannot make reader and writer of both ends wait for each other.
const MAX_REPLIES: usize = 1024;

/// The packets of one stream that wait to be sent.
#[derive(Debug)]
pub struct Outbox<P> {
    waiting: Mutex<Waiting<P>>,
    filled: Notify,
    replies: Arc<Semaphore>,
}

#[derive(Debug)]
struct Waiting<P> {
    answers: VecDeque<P>,
    lanes: VecDeque<Queued<P>>,
    is_closed: bool,
}

/// A packet and its lane's permission to have it wait here.
#[derive(Debug)]
struct Queued<P> {
    packet: P,
    _place: Option<OwnedSemaphorePermit>,
}

/// One connection's way into the outbox; its packets keep their order.
#[derive(Debug)]
pub struct Lane<P> {
    outbox: Arc<Outbox<P>>,
    places: Arc<Semaphore>,
}

/// The stream is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream to the server is gone")]
pub struct Gone;

impl<P> Outbox<P> {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        let waiting = Waiting {
            answers: VecDeque::new(),
            lanes: VecDeque::new(),
            is_closed: false,
        };
        let replies = Arc::new(Semaphore::new(MAX_REPLIES));
        Arc::new(Self {
            waiting: Mutex::new(waiting),
            filled: Notify::new(),
            replies,
        })
    }

    /// A way in for one connection.
    pub fn lane(self: &Arc<Self>) -> Lane<P> {
        Lane {
            outbox: Arc::clone(self),
            places: Arc::new(Semaphore::new(AHEAD)),
        }
    }

    /// Sends before all data. Each dial has one answer, so these are bounded by the connections.
    pub fn answer(&self, packet: P) {
        self.push(|waiting| waiting.answers.push_back(packet));
    }

    /// Sends in turn with the connections, so that it overtakes no end of one; not at all when too
    /// many replies wait already. Says whether it was taken.
    pub fn reply(&self, packet: P) -> bool {
        let place = Arc::clone(&self.replies).try_acquire_owned();
        place
            .map(|place| self.queue(packet, Some(place)))
            .is_ok_and(|queued| queued.is_ok())
    }

    /// Takes nothing more; [`Outbox::next`] ends when what waits is gone.
    pub fn close(&self) {
        self.push(|waiting| waiting.is_closed = true);
    }

    /// The next packet to send; `None` once closed and empty. One task asks.
    pub async fn next(&self) -> Option<P> {
        loop {
            {
                let mut waiting = self.locked();
                let next = waiting.answers.pop_front();
                let next = next.or_else(|| waiting.lanes.pop_front().map(|queued| queued.packet));
                if next.is_some() || waiting.is_closed {
                    return next;
                }
            }
            self.filled.notified().await;
        }
    }

    fn queue(&self, packet: P, place: Option<OwnedSemaphorePermit>) -> Result<(), Gone> {
        let mut result = Err(Gone);
        self.push(|waiting| {
            if !waiting.is_closed {
                waiting.lanes.push_back(Queued {
                    packet,
                    _place: place,
                });
                result = Ok(());
            }
        });
        result
    }

    fn push(&self, change: impl FnOnce(&mut Waiting<P>)) {
        change(&mut self.locked());
        self.filled.notify_one();
    }

    /// A panic while it was held leaves the queues whole: every change is one push or pop.
    fn locked(&self) -> MutexGuard<'_, Waiting<P>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Lane<P> {
    /// Waits for a place and queues the packet behind the other lanes'.
    pub async fn send(&self, packet: P) -> Result<(), Gone> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_closed| Gone)?;
        self.outbox.queue(packet, Some(place))
    }

    /// Queues the last packet behind this lane's others, without waiting for a place: each
    /// connection has one.
    pub fn end(self, packet: P) -> Result<(), Gone> {
        self.outbox.queue(packet, None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_bulk_transfer_puts_two_packets_in_front_of_a_keystroke() {
        let outbox = Outbox::new();
        let (bulk, keys) = (outbox.lane(), outbox.lane());
        bulk.send("bulk").await.unwrap();
        bulk.send("bulk").await.unwrap();
        assert!(
            timeout(MOMENT, bulk.send("bulk")).await.is_err(),
            "no third place"
        );
        keys.send("key").await.unwrap();
        outbox.answer("answer");
        for expected in ["answer", "bulk"] {
            assert_eq!(outbox.next().await, Some(expected));
        }
        bulk.send("late bulk").await.unwrap();
        for expected in ["bulk", "key", "late bulk"] {
            assert_eq!(outbox.next().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_storm_of_replies_is_bounded_and_answers_still_pass() {
        let outbox = Outbox::new();
        let taken = (0..2 * MAX_REPLIES)
            .filter(|_| outbox.reply("reply"))
            .count();
        assert_eq!(taken, MAX_REPLIES);
        outbox.answer("answer");
        outbox.close();
        let mut sent = 0;
        while outbox.next().await.is_some() {
            sent += 1;
        }
        assert_eq!(sent, MAX_REPLIES + 1);
    }

    #[tokio::test]
    async fn a_closed_outbox_sends_what_waits_and_takes_nothing_more() {
        let outbox = Outbox::new();
        let lane = outbox.lane();
        lane.send(1).await.unwrap();
        lane.send(2).await.unwrap();
        outbox.lane().end(3).unwrap();
        outbox.close();
        assert_eq!(outbox.lane().send(4).await, Err(Gone));
        assert_eq!(lane.end(5), Err(Gone));
        for packet in 1..=3 {
            assert_eq!(outbox.next().await, Some(packet));
        }
        assert_eq!(outbox.next().await, None);
    }
}
