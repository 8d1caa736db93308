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

use crate::protocol::budget::{Crowd, Level, Limits, Meter, Stalled};

/// What waits for a frontend when its connection ends is given up when it takes nothing for this long.
const PATIENCE_AT_END: Duration = Duration::from_secs(10);
/// Chunks below this are copied out of the buffer they arrived in.
const SMALL: usize = 1024;

/// Why no more bytes come from the agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ending {
    /// The agent closed it: the endpoint hung up, or our `CLOSE_REQ` was answered.
    #[error("{0}")]
    AgentClosed(String),
    /// The agent's stream ended.
    #[error("connection to the agent was lost")]
    AgentLost,
    /// The frontend drained nothing while much waited for it.
    #[error("closed because the frontend {0}")]
    Stalled(Stalled),
}

impl Ending {
    /// The text of the last packet; the reference says nothing about an agent that was lost.
    pub(crate) fn to_frontend(&self) -> String {
        match self {
            Self::AgentLost => String::new(),
            Self::AgentClosed(_) | Self::Stalled(_) => self.to_string(),
        }
    }

    /// The metric's label.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::AgentClosed(_) => "agent_closed",
            Self::AgentLost => "agent_lost",
            Self::Stalled(_) => "stalled",
        }
    }
}

/// The queue of one connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    total: IntGauge,
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
    ended: Notify,
}

#[derive(Debug)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    meter: Meter,
    ending: Option<Ending>,
    /// When what waits is given up, once it ended, unless the frontend takes some.
    until: Option<Instant>,
    is_cut: bool,
}

impl Inbox {
    /// An empty one; `total` counts the bytes of all.
    pub(crate) fn new(limits: Limits, total: IntGauge, now: Instant) -> Self {
        let waiting = Waiting {
            chunks: VecDeque::new(),
            meter: Meter::new(limits, now.into_std()),
            ending: None,
            until: None,
            is_cut: false,
        };
        Self {
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
        let level = waiting.meter.pushed(bytes.len(), now.into_std());
        self.total.add(signed(bytes.len()));
        waiting.chunks.push_back(bytes);
        drop(waiting);
        self.filled.notify_one();
        level
    }

    /// Nothing follows; what waits is still delivered. The first reason stays.
    pub(crate) fn end(&self, ending: Ending) {
        let mut waiting = self.waiting();
        waiting.ending.get_or_insert(ending);
        waiting.until = Some(Instant::now() + PATIENCE_AT_END);
        drop(waiting);
        self.wake();
    }

    /// Nothing follows and what waits is dropped, even while the frontend is in the middle of a write.
    pub(crate) fn cut(&self, ending: Ending) {
        let mut waiting = self.waiting();
        waiting.ending = Some(ending);
        waiting.is_cut = true;
        waiting.chunks.clear();
        self.total.sub(signed(waiting.meter.clear()));
        drop(waiting);
        self.wake();
    }

    /// The next chunk, or why there is none.
    pub(crate) async fn next(&self) -> Result<Bytes, Ending> {
        loop {
            {
                let mut waiting = self.waiting();
                if let Some(chunk) = waiting.chunks.pop_front() {
                    waiting.moved(chunk.len());
                    self.total.sub(signed(chunk.len()));
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
    pub(crate) fn moved(&self) {
        self.waiting().moved(0);
    }

    /// Resolves when the frontend must stop even in the middle of a write: cut off, or nothing follows and
    /// it has taken nothing of the rest for [`PATIENCE_AT_END`].
    pub(crate) async fn cut_off(&self) -> Ending {
        loop {
            let until = {
                let waiting = self.waiting();
                match (&waiting.ending, waiting.until) {
                    (Some(ending), _) if waiting.is_cut => return ending.clone(),
                    (_, Some(until)) if until <= Instant::now() => {
                        let waiting = waiting.meter.waiting();
                        return Ending::Stalled(Stalled {
                            waiting,
                            patience: PATIENCE_AT_END,
                        });
                    }
                    (_, until) => until,
                }
            };
            match until {
                Some(until) => sleep_until(until).await,
                None => self.ended.notified().await,
            }
        }
    }

    /// Whether the shared stream must wait for it: it is full, and moved a moment ago.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        let waiting = self.waiting();
        waiting.ending.is_none() && waiting.meter.holds(now.into_std())
    }

    /// Resolves when nobody needs to wait for it any more: there is room, it ended, or it takes nothing.
    pub(crate) async fn room(&self) {
        loop {
            let until = {
                let waiting = self.waiting();
                let until = waiting.meter.held_until(Instant::now().into_std());
                match until.filter(|_| waiting.ending.is_none()) {
                    Some(until) => until,
                    None => return,
                }
            };
            tokio::select! {
                () = self.drained.notified() => {}
                () = sleep_until(until.into()) => {}
            }
        }
    }

    /// Whether so much waits that it must be watched.
    pub(crate) fn is_watched(&self) -> bool {
        let waiting = self.waiting();
        waiting.meter.level() >= Level::Watched && waiting.ending.is_none()
    }

    /// Why it ended, if it did.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.waiting().ending.clone()
    }

    /// Says that the frontend has stood still for too long. One that moves is never closed, whatever waits for it.
    pub(crate) fn stalled(&self, now: Instant, crowd: Crowd) -> Option<Ending> {
        let waiting = self.waiting();
        let stalled = waiting.meter.stalled(now.into_std(), crowd)?;
        waiting.ending.is_none().then_some(Ending::Stalled(stalled))
    }

    fn wake(&self) {
        self.filled.notify_one();
        self.drained.notify_one();
        self.ended.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn moved(&mut self, bytes: usize) {
        let now = Instant::now();
        self.meter.taken(bytes, now.into_std());
        self.until = self.until.map(|_| now + PATIENCE_AT_END);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let left = self.waiting().meter.waiting();
        self.total.sub(signed(left));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::budget::HOLD;

    const MIB: usize = 1 << 20;

    fn inbox() -> Inbox {
        let total = IntGauge::new("total", "total").expect("a legal name");
        Inbox::new(Limits::default(), total, Instant::now())
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
            inbox.moved();
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
    async fn stream_waits_for_one_that_moves_and_for_no_other() {
        let inbox = inbox();
        inbox.push(block(5 * MIB), Instant::now());
        inbox.push(block(3 * MIB), Instant::now());
        assert!(inbox.holds(Instant::now()));
        let full = tokio::time::timeout(HOLD / 2, inbox.room()).await;
        assert!(full.is_err());
        inbox.next().await.expect("a chunk");
        inbox.room().await;
        assert_eq!(inbox.total.get(), 3 << 20);
        inbox.push(block(8 * MIB), Instant::now());
        tokio::time::advance(HOLD).await;
        assert!(!inbox.holds(Instant::now()));
        inbox.room().await;
    }
}
