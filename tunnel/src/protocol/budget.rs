//! How much may wait for one connection, and when it is said to stand still.
//!
//! The reference's wire has no credits: whoever reads the shared stream must take what comes. So
//! bytes wait in a queue for each connection, a [`Meter`] counts them, and these rules decide
//! (issue text, tunnel.md 2.2):
//!
//! * above [`SOFT`] and nothing taken for [`SOFT_PATIENCE`]: stalled, closed alone;
//! * at [`HARD`] and nothing taken for [`HARD_PATIENCE`], or [`SOFT_PATIENCE`] where that is set shorter: stalled,
//!   closed alone;
//! * one that moves is never closed: at [`HARD`] the shared stream waits for it, and is counted;
//!   nobody waits for one that took nothing for [`HOLD`]: it is judged by its own patience while
//!   the budget of the process takes what still comes for it;
//! * with the budget of the whole process used up, anything that waits and does not move for
//!   [`SOFT_PATIENCE`] is stalled, whatever its size.
//!
//! Patience begins anew when a limit is passed: who had little waiting was not stalling.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// More than this waiting is watched.
pub const SOFT: usize = 1024 * 1024;
/// From here on the shared stream waits for a connection that moves.
pub const HARD: usize = 8 * 1024 * 1024;
/// The least that may stand for [`HARD`]: below it, who is watched would be full already.
pub const LEAST_HARD: usize = 2 * SOFT;
/// Nothing taken for this long above [`SOFT`] is a stall.
pub const SOFT_PATIENCE: Duration = Duration::from_secs(2);
/// Nothing taken for this long at [`HARD`] is a stall.
pub const HARD_PATIENCE: Duration = Duration::from_millis(500);

/// Who took something within this moves, and is worth waiting for.
pub const HOLD: Duration = Duration::from_millis(50);

/// The limits of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`SOFT`].
    pub soft: usize,
    /// See [`HARD`].
    pub hard: usize,
    /// See [`SOFT_PATIENCE`].
    pub soft_patience: Duration,
    /// See [`HARD_PATIENCE`].
    pub hard_patience: Duration,
}

/// Whether the bytes that wait in the whole process leave room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// There is room.
    Sparse,
    /// There is none.
    Full,
}

/// How much waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to look at.
    Low,
    /// At [`Limits::soft`] or above: must be watched.
    Watched,
    /// At [`Limits::hard`] or above: the shared stream waits.
    Full,
}

/// A connection that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stalled: {waiting} bytes waited and none was taken for {patience:?}")]
pub struct Stalled {
    /// Bytes that waited.
    pub waiting: usize,
    /// For how long nothing moved.
    pub patience: Duration,
}

/// Counts what waits for one connection.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    limits: Limits,
    waiting: usize,
    /// When something was taken, or a limit was passed, last.
    moved: Instant,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            soft: SOFT,
            hard: HARD,
            soft_patience: SOFT_PATIENCE,
            hard_patience: HARD_PATIENCE,
        }
    }
}

impl Meter {
    /// Nothing waits.
    pub const fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            waiting: 0,
            moved: now,
        }
    }

    /// So much more waits.
    pub fn pushed(&mut self, bytes: usize, now: Instant) -> Level {
        let (before, after) = (self.waiting, self.waiting + bytes);
        let passed = |limit: usize| before < limit && after >= limit;
        if (before == 0 && after > 0) || passed(self.limits.soft) || passed(self.limits.hard) {
            self.moved = now;
        }
        self.waiting = after;
        self.level()
    }

    /// So much was taken; never more than waits. Says so even of nothing: a peer that takes a part
    /// of what it was handed moves.
    pub fn taken(&mut self, bytes: usize, now: Instant) {
        debug_assert!(bytes <= self.waiting, "taken but never pushed");
        self.waiting = self.waiting.saturating_sub(bytes);
        self.moved = now;
    }

    /// Forgets what waits; how much that was.
    pub const fn clear(&mut self) -> usize {
        let waiting = self.waiting;
        self.waiting = 0;
        waiting
    }

    /// Bytes that wait.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How much that is.
    pub const fn level(&self) -> Level {
        if self.waiting >= self.limits.hard {
            Level::Full
        } else if self.waiting >= self.limits.soft {
            Level::Watched
        } else {
            Level::Low
        }
    }

    /// Until when the shared stream has to wait for it, unless it makes room before.
    pub fn held_until(&self, now: Instant) -> Option<Instant> {
        let until = self.moved + HOLD;
        (self.level() == Level::Full && now < until).then_some(until)
    }

    /// Whether the shared stream has to wait for it.
    pub fn holds(&self, now: Instant) -> bool {
        self.held_until(now).is_some()
    }

    /// When it will be stalled unless it moves; `None` while it may stand for ever.
    pub fn deadline(&self, crowd: Crowd) -> Option<(Instant, Stalled)> {
        let patience = match (self.level(), crowd) {
            (Level::Full, _) => self.limits.hard_patience.min(self.limits.soft_patience),
            (Level::Watched, _) => self.limits.soft_patience,
            (Level::Low, Crowd::Full) if self.waiting > 0 => self.limits.soft_patience,
            (Level::Low, _) => return None,
        };
        Some((
            self.moved + patience,
            Stalled {
                waiting: self.waiting,
                patience,
            },
        ))
    }

    /// Whether it is stalled now.
    pub fn stalled(&self, now: Instant, crowd: Crowd) -> Option<Stalled> {
        self.deadline(crowd)
            .filter(|(at, _)| *at <= now)
            .map(|(_, stalled)| stalled)
    }
}
