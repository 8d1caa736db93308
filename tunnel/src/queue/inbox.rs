//! What waits for one frontend or endpoint.
//!
//! In: bytes from the reader of the shared stream, which never waits here. Out: the same bytes in
//! order, then why there are no more. The rules of standing still are [`crate::protocol::budget`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Pool;
use crate::protocol::budget::{Crowd, Level, Limits, Meter, Stalled};

#[cfg(test)]
mod tests;

/// When nothing follows, whoever takes nothing of the rest for this long is given up.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Others can use up the pool, and do not tell: a taker that is watched looks this often.
const CROWD_WATCH: Duration = Duration::from_secs(1);
/// Smaller pieces are copied together: each alone would keep a whole read buffer alive.
const SMALL: usize = 4 * 1024;
/// As much as is copied together.
const JOINED: usize = 32 * 1024;

/// Bytes on their way to one taker. `E` says why they end.
#[derive(Debug)]
pub struct Inbox<E> {
    state: Mutex<State<E>>,
    pool: Pool,
    /// The taker's: there are bytes, or an end.
    filled: Notify,
    /// The shared reader's: there may be room.
    drained: Notify,
    /// The watch's, and of whoever waits for the end: something happened.
    changed: Notify,
}

#[derive(Debug)]
struct State<E> {
    chunks: VecDeque<Chunk>,
    meter: Meter,
    ending: Option<E>,
    /// When it ended, or moved after that.
    ended: Option<Instant>,
    is_cut: bool,
}

#[derive(Debug)]
enum Chunk {
    /// A slice of what was read.
    Slice(Bytes),
    /// Several small pieces.
    Joined(BytesMut),
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, and little else.
    Kept,
    /// It waits with so much else that somebody must watch.
    Watched,
    /// It waits, but the shared stream must wait for [`Inbox::room`] before it reads on.
    Full,
    /// Nothing is taken any more; it is dropped.
    Ended,
}

/// Why a taker must stop, even in the middle of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop<E> {
    /// It was cut off.
    Cut(E),
    /// It stands still.
    Stalled(Stalled),
}

impl<E: Clone> Inbox<E> {
    /// An empty one, of a process with this pool.
    pub fn new(limits: Limits, pool: &Pool, now: Instant) -> Self {
        let state = State {
            chunks: VecDeque::new(),
            meter: Meter::new(limits, now.into_std()),
            ending: None,
            ended: None,
            is_cut: false,
        };
        Self {
            state: Mutex::new(state),
            pool: pool.clone(),
            filled: Notify::new(),
            drained: Notify::new(),
            changed: Notify::new(),
        }
    }

    /// Queues bytes; never waits.
    pub fn push(&self, data: Bytes, now: Instant) -> Pushed {
        let mut state = self.state();
        if state.ending.is_some() {
            return Pushed::Ended;
        }
        if data.is_empty() {
            return Pushed::Kept;
        }
        self.pool.add(data.len());
        let level = state.meter.pushed(data.len(), now.into_std());
        state.append(data);
        let must_wait = state.meter.holds(now.into_std()) || self.pool.crowd() == Crowd::Full;
        drop(state);
        self.filled.notify_one();
        match level {
            _ if must_wait => Pushed::Full,
            Level::Low => Pushed::Kept,
            Level::Watched | Level::Full => {
                self.changed.notify_waiters();
                Pushed::Watched
            }
        }
    }

    /// Nothing follows; what waits may still be taken. Only the first ending counts.
    pub fn end(&self, ending: E, now: Instant) {
        let mut state = self.state();
        if state.ending.is_none() {
            state.ending = Some(ending);
            state.ended = Some(now);
        }
        drop(state);
        self.wake();
    }

    /// Ends it and drops what waits.
    pub fn cut(&self, ending: E, now: Instant) {
        let mut state = self.state();
        state.ending.get_or_insert(ending);
        state.ended.get_or_insert(now);
        state.is_cut = true;
        state.chunks.clear();
        self.pool.remove(state.meter.clear());
        drop(state);
        self.wake();
    }

    /// The next bytes, or why there are none. They count as waiting until they are
    /// [`Inbox::taken`]. One task asks; safe to cancel.
    ///
    /// # Errors
    /// The ending, once all is taken.
    pub async fn next(&self) -> Result<Bytes, E> {
        loop {
            {
                let mut state = self.state();
                if let Some(chunk) = state.chunks.pop_front() {
                    return Ok(chunk.into_bytes());
                }
                if let Some(ending) = &state.ending {
                    return Err(ending.clone());
                }
            }
            self.filled.notified().await;
        }
    }

    /// The taker took so much of what it was handed; 0 says that it moves.
    pub fn taken(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        if state.is_cut {
            return;
        }
        let bytes = bytes.min(state.meter.waiting());
        state.meter.taken(bytes, now.into_std());
        if let Some(ended) = &mut state.ended {
            *ended = now;
        }
        drop(state);
        self.pool.remove(bytes);
        self.drained.notify_one();
    }

    /// Resolves when the shared stream may read on: there is room, or it ended, or it stands still
    /// and will be judged by its own patience, not at the cost of everybody else. One task asks.
    pub async fn room(&self) {
        loop {
            let until = {
                let state = self.state();
                let is_crowded = self.pool.crowd() == Crowd::Full;
                match state.meter.held_until(Instant::now().into_std()) {
                    _ if state.ending.is_some() => return,
                    None if !is_crowded => return,
                    Some(until) if !is_crowded => Instant::from_std(until),
                    // Others may make room, and none of them tells this inbox.
                    _ => Instant::now() + Duration::from_millis(10),
                }
            };
            tokio::select! {
                () = self.drained.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Resolves when the taker must stop even in the middle of a write.
    pub async fn stop(&self) -> Stop<E> {
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let until = {
                let state = self.state();
                if let (true, Some(ending)) = (state.is_cut, &state.ending) {
                    return Stop::Cut(ending.clone());
                }
                match state.deadline(self.pool.crowd()) {
                    Some((at, stalled)) if at <= now => return Stop::Stalled(stalled),
                    Some((at, _)) => at.min(now + CROWD_WATCH),
                    None => now + CROWD_WATCH,
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Resolves when nothing follows.
    pub async fn ended(&self) -> E {
        loop {
            let changed = self.changed.notified();
            if let Some(ending) = self.ending() {
                return ending;
            }
            changed.await;
        }
    }

    /// Why it ended, if it did.
    pub fn ending(&self) -> Option<E> {
        self.state().ending.clone()
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.state().meter.waiting()
    }

    fn wake(&self) {
        self.filled.notify_one();
        self.drained.notify_one();
        self.changed.notify_waiters();
    }
}

impl<E> Inbox<E> {
    /// A panic while it was held leaves at worst a wrong count of one connection.
    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Drop for Inbox<E> {
    fn drop(&mut self) {
        let waiting = self.state().meter.clear();
        self.pool.remove(waiting);
    }
}

impl<E> State<E> {
    fn append(&mut self, data: Bytes) {
        let is_small = data.len() < SMALL;
        match self.chunks.back_mut() {
            Some(Chunk::Joined(joined)) if is_small && joined.len() + data.len() <= JOINED => {
                joined.extend_from_slice(&data);
            }
            Some(_) if is_small => self.chunks.push_back(Chunk::Joined(data.as_ref().into())),
            _ => self.chunks.push_back(Chunk::Slice(data)),
        }
    }

    fn deadline(&self, crowd: Crowd) -> Option<(Instant, Stalled)> {
        let still = self
            .meter
            .deadline(crowd)
            .map(|(at, why)| (Instant::from_std(at), why));
        let waiting = self.meter.waiting();
        let parting = self.ended.map(|ended| {
            (
                ended + END_PATIENCE,
                Stalled {
                    waiting,
                    patience: END_PATIENCE,
                },
            )
        });
        [still, parting]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }
}

impl Chunk {
    fn into_bytes(self) -> Bytes {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}
