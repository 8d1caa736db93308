//! What a server sent for one endpoint and the endpoint has not taken yet.
//!
//! The reference's wire has no credits: the shared stream must be read whatever one endpoint does.
//! So bytes wait here, per connection, up to a cap. Who takes nothing for too long while much waits
//! is [`Stalled`] and its connection is closed alone; who moves is never closed. Time comes in as a
//! value or from tokio's clock, so tests can pause it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// More than this waiting starts the watch.
pub const WATCHED: usize = 1024 * 1024;
/// With more than [`WATCHED`] waiting, nothing taken for this long is a stall.
const PATIENCE: Duration = Duration::from_secs(2);
/// From here on the shared stream has to wait.
pub const CAP: usize = 8 * 1024 * 1024;
/// At [`CAP`], nothing taken for this long is a stall: everybody else waits.
const PATIENCE_AT_CAP: Duration = Duration::from_millis(500);
/// After the server's close, nothing taken for this long ends the flush.
const PATIENCE_AT_CLOSE: Duration = Duration::from_secs(10);

/// Bytes on their way to one endpoint.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    emptied: Notify,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// When the endpoint took something, or a limit was passed, last.
    moved: Option<Instant>,
    is_closed: bool,
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

/// The endpoint stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint stalled: {waiting} bytes wait for it and it took none for {patience:?}")]
pub struct Stalled {
    /// Bytes that wait.
    pub waiting: usize,
    /// How long nothing moved.
    pub patience: Duration,
}

impl Inbox {
    /// Queues bytes; never waits.
    pub fn push(&self, data: Bytes, now: Instant) -> Pushed {
        let mut waiting = self.locked();
        if waiting.is_closed {
            return Pushed::Closed;
        }
        if data.is_empty() {
            return Pushed::Kept;
        }
        let (before, after) = (waiting.bytes, waiting.bytes + data.len());
        // Patience begins anew when a limit is passed: who had little waiting was not stalling.
        if [WATCHED, CAP]
            .iter()
            .any(|limit| before < *limit && after >= *limit)
        {
            waiting.moved = Some(now);
        }
        waiting.bytes = after;
        waiting.chunks.push_back(data);
        drop(waiting);
        self.filled.notify_one();
        if after >= CAP {
            Pushed::Full
        } else {
            Pushed::Kept
        }
    }

    /// Takes nothing more; what waits may still be written.
    pub fn close(&self, now: Instant) {
        let mut waiting = self.locked();
        waiting.is_closed = true;
        waiting.moved = Some(now);
        drop(waiting);
        self.closed.cancel();
        self.filled.notify_one();
        self.emptied.notify_one();
    }

    /// Resolves when it was closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Resolves when less than [`CAP`] waits, or nothing can be pushed any more. One task asks.
    pub async fn room(&self) {
        loop {
            {
                let waiting = self.locked();
                if waiting.bytes < CAP || waiting.is_closed {
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
                if waiting.is_closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// The endpoint took `count` bytes of the first chunk.
    pub fn taken(&self, count: usize, now: Instant) {
        let mut waiting = self.locked();
        waiting.bytes = waiting.bytes.saturating_sub(count);
        waiting.moved = Some(now);
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
        let patience = match self.bytes {
            0 => return None,
            CAP.. => PATIENCE_AT_CAP,
            WATCHED.. => PATIENCE,
            _ if self.is_closed => PATIENCE_AT_CLOSE,
            _ => return None,
        };
        Some((
            self.moved? + patience,
            Stalled {
                waiting: self.bytes,
                patience,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

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
        let inbox = Inbox::default();
        inbox.push(block(WATCHED - 1), Instant::now());
        assert_eq!(stalls_within(&inbox, Duration::from_hours(24)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_mebibyte_may_stand_for_two_seconds() {
        let inbox = Inbox::default();
        inbox.push(block(10), Instant::now());
        advance(Duration::from_mins(1)).await;
        inbox.push(block(2 * MIB), Instant::now());
        assert_eq!(
            stalls_within(&inbox, Duration::from_secs(10)).await,
            Some(PATIENCE)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_one_may_stand_for_half_a_second() {
        let inbox = Inbox::default();
        assert_eq!(inbox.push(block(CAP - 1), Instant::now()), Pushed::Kept);
        advance(Duration::from_secs(1)).await;
        assert_eq!(inbox.push(block(1), Instant::now()), Pushed::Full);
        assert_eq!(
            stalls_within(&inbox, Duration::from_secs(10)).await,
            Some(PATIENCE_AT_CAP)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_is_never_stalled_and_makes_room() {
        let inbox = Inbox::default();
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
        let inbox = Inbox::default();
        inbox.push(Bytes::from_static(b"abc"), Instant::now());
        inbox.close(Instant::now());
        assert_eq!(inbox.push(block(1), Instant::now()), Pushed::Closed);
        inbox.taken(1, Instant::now());
        assert_eq!(inbox.front().await.as_deref(), Some(b"bc".as_slice()));
        assert_eq!(
            stalls_within(&inbox, Duration::from_mins(1)).await,
            Some(PATIENCE_AT_CLOSE)
        );
        inbox.taken(2, Instant::now());
        assert_eq!(inbox.front().await, None);
    }
}
