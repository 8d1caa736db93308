//! What an agent sent for one frontend and the frontend has not taken yet.
//! In: the driver's pushes, which never wait. Out: chunks for the frontend, and whether it stands still.
//! The wire has no credits, so the shared stream is read whatever one frontend does; what waits is counted in bytes,
//! here and for the whole server. Time enters as a value.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// More than this waiting starts the watch.
const WATCHED: usize = 1 << 20;
/// At the cap everybody of that agent waits: then a stall is called sooner.
const PATIENCE_AT_CAP: Duration = Duration::from_millis(500);
/// What waits for a frontend when its connection ends is given up when it takes nothing for this long.
const PATIENCE_AT_END: Duration = Duration::from_secs(10);
/// Chunks below this are copied out of the buffer they arrived in.
const SMALL: usize = 1024;

/// Why no more bytes come from the agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ending {
    /// The agent closed it: the endpoint hung up, or our CLOSE_REQ was answered.
    #[error("{0}")]
    AgentClosed(String),
    /// The agent's stream ended.
    #[error("connection to the agent was lost")]
    AgentLost,
    /// The frontend drained nothing while much waited for it.
    #[error(
        "closed because it stalled: {waiting} bytes waited and none were taken for {patience:?}"
    )]
    Stalled {
        /// Bytes that waited.
        waiting: usize,
        /// How long nothing moved.
        patience: Duration,
    },
}

impl Ending {
    /// The metric's label.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::AgentClosed(_) => "agent_closed",
            Self::AgentLost => "agent_lost",
            Self::Stalled { .. } => "stalled",
        }
    }
}

/// How much may wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// No progress for this long above [`WATCHED`] is a stall.
    pub(crate) stall: Duration,
    /// Bytes that may wait for one frontend.
    pub(crate) cap: usize,
}

/// How full an inbox is after a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing to do.
    Low,
    /// It must be watched.
    Watched,
    /// The shared stream waits.
    Full,
}

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    patience: Patience,
    total: IntGauge,
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
    ended: Notify,
}

#[derive(Debug)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// When the frontend took something, or a limit was passed, last.
    moved: Instant,
    ending: Option<Ending>,
    is_cut: bool,
}

impl Inbox {
    /// An empty one; `total` counts the bytes of all.
    pub(crate) fn new(patience: Patience, total: IntGauge, now: Instant) -> Self {
        let waiting = Waiting {
            chunks: VecDeque::new(),
            bytes: 0,
            moved: now,
            ending: None,
            is_cut: false,
        };
        Self {
            patience,
            total,
            waiting: Mutex::new(waiting),
            filled: Notify::new(),
            drained: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// Queues bytes; never waits. Bytes for a connection that ended are dropped.
    pub(crate) fn push(&self, bytes: Bytes, now: Instant) -> Level {
        let mut waiting = self.waiting();
        if bytes.is_empty() || waiting.ending.is_some() {
            return Level::Low;
        }
        // A few bytes must not keep the whole read buffer they came in.
        let bytes = if bytes.len() < SMALL {
            Bytes::copy_from_slice(&bytes)
        } else {
            bytes
        };
        let (before, after) = (waiting.bytes, waiting.bytes + bytes.len());
        let passed = |limit: usize| before < limit && after >= limit;
        // Patience begins anew at each limit: who had little waiting was not standing still.
        if before == 0 || passed(WATCHED) || passed(self.patience.cap) {
            waiting.moved = now;
        }
        waiting.bytes = after;
        self.count(before, after);
        waiting.chunks.push_back(bytes);
        drop(waiting);
        self.filled.notify_one();
        match after {
            _ if after >= self.patience.cap => Level::Full,
            WATCHED.. => Level::Watched,
            _ => Level::Low,
        }
    }

    /// Nothing follows; what waits is still delivered. The first reason stays.
    pub(crate) fn end(&self, ending: Ending) {
        let mut waiting = self.waiting();
        waiting.ending.get_or_insert(ending);
        waiting.moved = Instant::now();
        drop(waiting);
        self.filled.notify_one();
        self.drained.notify_one();
        self.ended.notify_one();
    }

    /// Nothing follows and what waits is dropped, even while the frontend is in the middle of a write.
    pub(crate) fn cut(&self, ending: Ending) {
        let mut waiting = self.waiting();
        waiting.ending = Some(ending);
        waiting.is_cut = true;
        waiting.chunks.clear();
        self.count(waiting.bytes, 0);
        waiting.bytes = 0;
        drop(waiting);
        self.filled.notify_one();
        self.drained.notify_one();
        self.ended.notify_one();
    }

    /// The next chunk, or why there is none.
    pub(crate) async fn next(&self) -> Result<Bytes, Ending> {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(chunk) = waiting.chunks.pop_front() {
                    let before = waiting.bytes;
                    waiting.bytes -= chunk.len();
                    self.count(before, waiting.bytes);
                    drop(waiting);
                    self.drained.notify_one();
                    return Ok(chunk);
                }
                if let Some(ending) = &waiting.ending {
                    return Err(ending.clone());
                }
            }
            self.filled.notified().await;
        }
    }

    /// The frontend took some of the chunk it holds.
    pub(crate) fn moved(&self, now: Instant) {
        self.waiting().moved = now;
    }

    /// Resolves when the frontend must stop even in the middle of a write: cut off, or nothing follows and
    /// it has taken nothing of the rest for [`PATIENCE_AT_END`].
    pub(crate) async fn cut_off(&self) -> Ending {
        loop {
            let deadline = {
                let waiting = self.waiting();
                match &waiting.ending {
                    Some(ending) if waiting.is_cut => return ending.clone(),
                    Some(_) if waiting.moved + PATIENCE_AT_END <= Instant::now() => {
                        return Ending::Stalled {
                            waiting: waiting.bytes,
                            patience: PATIENCE_AT_END,
                        };
                    }
                    Some(_) => Some(waiting.moved + PATIENCE_AT_END),
                    None => None,
                }
            };
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => self.ended.notified().await,
            }
        }
    }

    /// Resolves when there is room again, or no room is needed any more.
    pub(crate) async fn room(&self) {
        loop {
            {
                let waiting = self.waiting();
                if waiting.bytes < self.patience.cap || waiting.ending.is_some() {
                    return;
                }
            }
            self.drained.notified().await;
        }
    }

    /// Whether so much waits that it must be watched.
    pub(crate) fn is_watched(&self) -> bool {
        let waiting = self.waiting();
        waiting.bytes >= WATCHED && waiting.ending.is_none()
    }

    /// Why it ended, if it did.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.waiting().ending.clone()
    }

    /// Says that the frontend has stood still for too long. When the server is `crowded`, anything that waits
    /// counts: one that moves is never closed, whatever its size.
    pub(crate) fn stalled(&self, now: Instant, crowd: Crowd) -> Option<Ending> {
        let waiting = self.waiting();
        let patience = match waiting.bytes {
            0 => return None,
            bytes if bytes >= self.patience.cap => PATIENCE_AT_CAP.min(self.patience.stall),
            WATCHED.. => self.patience.stall,
            _ if crowd == Crowd::Full => self.patience.stall,
            _ => return None,
        };
        let still = now.saturating_duration_since(waiting.moved) >= patience;
        (still && waiting.ending.is_none()).then_some(Ending::Stalled {
            waiting: waiting.bytes,
            patience,
        })
    }

    fn count(&self, before: usize, after: usize) {
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.total.add(signed(after) - signed(before));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let bytes = self.waiting().bytes;
        self.count(bytes, 0);
    }
}

/// Whether the bytes that wait on the whole server exceed its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// There is room.
    Sparse,
    /// There is none.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn inbox() -> Inbox {
        let patience = Patience {
            stall: Duration::from_secs(2),
            cap: 8 * MIB,
        };
        let total = IntGauge::new("total", "total").expect("a legal name");
        Inbox::new(patience, total, Instant::now())
    }

    fn block(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn little_may_wait_for_ever_unless_the_server_is_crowded() {
        let inbox = inbox();
        assert_eq!(inbox.push(block(MIB - 1), Instant::now()), Level::Low);
        assert_eq!(inbox.stalled(after(86_400_000), Crowd::Sparse), None);
        assert_eq!(inbox.stalled(after(1_999), Crowd::Full), None);
        assert!(inbox.stalled(after(2_000), Crowd::Full).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_mebibyte_may_stand_for_two_seconds() {
        let inbox = inbox();
        assert_eq!(inbox.push(block(2 * MIB), Instant::now()), Level::Watched);
        assert_eq!(inbox.stalled(after(1_999), Crowd::Sparse), None);
        let ending = inbox.stalled(after(2_000), Crowd::Sparse).expect("stalled");
        assert_eq!(ending.label(), "stalled");
        assert!(
            ending.to_string().contains("2097152 bytes waited"),
            "{ending}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn full_one_may_stand_for_half_a_second() {
        let inbox = inbox();
        assert_eq!(inbox.push(block(8 * MIB), Instant::now()), Level::Full);
        assert_eq!(inbox.stalled(after(499), Crowd::Sparse), None);
        assert!(inbox.stalled(after(500), Crowd::Sparse).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_is_never_stalled() {
        let inbox = inbox();
        inbox.push(block(8 * MIB), Instant::now());
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(499)).await;
            assert_eq!(inbox.stalled(Instant::now(), Crowd::Full), None);
            inbox.moved(Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ended_one_delivers_what_waits_and_a_cut_one_does_not() {
        let inbox = inbox();
        inbox.push(Bytes::from_static(b"tail"), Instant::now());
        inbox.end(Ending::AgentClosed(String::new()));
        assert_eq!(inbox.next().await, Ok(Bytes::from_static(b"tail")));
        assert_eq!(inbox.next().await, Err(Ending::AgentClosed(String::new())));

        let inbox = self::inbox();
        inbox.push(Bytes::from_static(b"tail"), Instant::now());
        inbox.cut(Ending::AgentLost);
        assert_eq!(inbox.next().await, Err(Ending::AgentLost));
        assert_eq!(inbox.cut_off().await, Ending::AgentLost);
        assert_eq!(inbox.total.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_there_again_when_the_frontend_takes_some() {
        let inbox = inbox();
        inbox.push(block(5 * MIB), Instant::now());
        inbox.push(block(3 * MIB), Instant::now());
        let full = tokio::time::timeout(Duration::from_secs(1), inbox.room()).await;
        assert!(full.is_err());
        inbox.next().await.expect("a chunk");
        inbox.room().await;
        assert_eq!(inbox.total.get(), 3 << 20);
    }
}
