//! What a server sent for one endpoint and the endpoint has not taken yet.
//!
//! The shared stream must be read whatever one endpoint does, so bytes wait here, per connection.
//! The [`budget`](crate::protocol::budget) says when that is too much: at its hard limit the stream
//! waits for [`Inbox::room`], and who takes nothing for too long is [`Stalled`], alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::protocol::budget::{Crowd, Level, Limits, Meter, Stalled};

/// After the connection's end, an endpoint that takes nothing for this long is left.
const PATIENCE_AT_END: Duration = Duration::from_secs(10);

/// Bytes on their way to one endpoint.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    emptied: Notify,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    meter: Meter,
    /// Since when nothing is taken in any more; moves with what the endpoint takes.
    closed: Option<Instant>,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits or will soon be written.
    Kept,
    /// It was kept, but now the shared stream must wait for [`Inbox::room`].
    Full,
    /// The connection takes nothing more.
    Closed,
}

impl Inbox {
    /// An empty one.
    pub fn new(now: Instant) -> Self {
        let meter = Meter::new(Limits::default(), now.into_std());
        Self {
            waiting: Mutex::new(Waiting {
                chunks: VecDeque::new(),
                meter,
                closed: None,
            }),
            filled: Notify::new(),
            emptied: Notify::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Queues bytes; never waits.
    pub fn push(&self, data: Bytes, now: Instant) -> Pushed {
        let mut waiting = self.locked();
        if waiting.closed.is_some() {
            return Pushed::Closed;
        }
        if data.is_empty() {
            return Pushed::Kept;
        }
        let level = waiting.meter.pushed(data.len(), now.into_std());
        waiting.chunks.push_back(data);
        drop(waiting);
        self.filled.notify_one();
        if level == Level::Full {
            Pushed::Full
        } else {
            Pushed::Kept
        }
    }

    /// Takes nothing more; what waits may still be written.
    pub fn close(&self, now: Instant) {
        let mut waiting = self.locked();
        waiting.closed.get_or_insert(now);
        drop(waiting);
        self.closed.cancel();
        self.filled.notify_one();
        self.emptied.notify_one();
    }

    /// Resolves when it was closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Resolves when there is room again, or nothing can be pushed any more. One task asks.
    pub async fn room(&self) {
        loop {
            {
                let waiting = self.locked();
                if waiting.meter.level() < Level::Full || waiting.closed.is_some() {
                    return;
                }
            }
            self.emptied.notified().await;
        }
    }

    /// The first chunk that waits; `None` once closed and empty. It stays until [`Inbox::taken`].
    pub async fn front(&self) -> Option<Bytes> {
        loop {
            {
                let waiting = self.locked();
                if let Some(chunk) = waiting.chunks.front() {
                    return Some(chunk.clone());
                }
                if waiting.closed.is_some() {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// The endpoint took `count` bytes of the first chunk.
    pub fn taken(&self, count: usize, now: Instant) {
        let mut waiting = self.locked();
        waiting.meter.taken(count, now.into_std());
        waiting.closed = waiting.closed.map(|_| now);
        let is_used_up = waiting.chunks.front_mut().is_some_and(|chunk| {
            chunk.advance(count.min(chunk.len()));
            chunk.is_empty()
        });
        if is_used_up {
            waiting.chunks.pop_front();
        }
        drop(waiting);
        self.emptied.notify_one();
    }

    /// Resolves when the endpoint has stood still for too long.
    pub async fn stalled(&self) -> Stalled {
        loop {
            let deadline = self.locked().deadline();
            let Some((deadline, stalled)) = deadline else {
                self.filled.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(deadline) => return stalled,
                () = self.filled.notified() => {}
            }
        }
    }

    /// A panic while it was held leaves at worst a wrong count of one connection.
    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn deadline(&self) -> Option<(Instant, Stalled)> {
        let stall = self.meter.deadline(Crowd::Sparse);
        let end = self
            .closed
            .filter(|_| self.meter.waiting() > 0)
            .map(|since| {
                let waiting = self.meter.waiting();
                (
                    since + PATIENCE_AT_END,
                    Stalled {
                        waiting,
                        patience: PATIENCE_AT_END,
                    },
                )
            });
        stall
            .map(|(at, stalled)| (Instant::from_std(at), stalled))
            .or(end)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::protocol::budget::{HARD, HARD_PATIENCE, SOFT, SOFT_PATIENCE};

    const MIB: usize = 1024 * 1024;

    fn block(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    async fn stalls_within(inbox: &Inbox, limit: Duration) -> Option<Duration> {
        let begun = Instant::now();
        timeout(limit, inbox.stalled())
            .await
            .ok()
            .map(|_| begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn little_may_wait_for_ever() {
        let inbox = Inbox::new(Instant::now());
        inbox.push(block(SOFT - 1), Instant::now());
        assert_eq!(stalls_within(&inbox, Duration::from_hours(24)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_mebibyte_may_stand_for_two_seconds() {
        let inbox = Inbox::new(Instant::now());
        inbox.push(block(10), Instant::now());
        advance(Duration::from_mins(1)).await;
        inbox.push(block(2 * MIB), Instant::now());
        assert_eq!(
            stalls_within(&inbox, Duration::from_secs(10)).await,
            Some(SOFT_PATIENCE)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_one_may_stand_for_half_a_second() {
        let inbox = Inbox::new(Instant::now());
        assert_eq!(inbox.push(block(HARD - 1), Instant::now()), Pushed::Kept);
        advance(Duration::from_secs(1)).await;
        assert_eq!(inbox.push(block(1), Instant::now()), Pushed::Full);
        assert_eq!(
            stalls_within(&inbox, Duration::from_secs(10)).await,
            Some(HARD_PATIENCE)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_is_never_stalled_and_makes_room() {
        let inbox = Inbox::new(Instant::now());
        assert_eq!(inbox.push(block(9 * MIB), Instant::now()), Pushed::Full);
        for _ in 0..10 {
            assert!(
                timeout(Duration::from_millis(400), inbox.room())
                    .await
                    .is_err()
            );
            inbox.taken(1000, Instant::now());
        }
        inbox.taken(MIB, Instant::now());
        inbox.room().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_one_gives_what_waits_and_no_more() {
        let inbox = Inbox::new(Instant::now());
        inbox.push(Bytes::from_static(b"abc"), Instant::now());
        inbox.close(Instant::now());
        assert_eq!(inbox.push(block(1), Instant::now()), Pushed::Closed);
        inbox.taken(1, Instant::now());
        assert_eq!(inbox.front().await.as_deref(), Some(b"bc".as_slice()));
        assert_eq!(
            stalls_within(&inbox, Duration::from_mins(1)).await,
            Some(PATIENCE_AT_END)
        );
        inbox.taken(2, Instant::now());
        assert_eq!(inbox.front().await, None);
    }
}
