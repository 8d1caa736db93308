//! Whether an agent that failed dials by itself is asked again.
//!
//! Pure: dials that worked or failed, and the time, come in. An agent that fails is passed over for a while that doubles
//! with each failure; when it is over the next dial is the probe.

use std::time::Duration;

use tokio::time::Instant;

/// Passed over for this long after the first failure,
const FIRST: Duration = Duration::from_secs(1);
/// and never longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// One agent's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    failures: u32,
    until: Option<Instant>,
}

impl Trust {
    /// It answered, if only that its endpoint refused.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It did not do its part.
    pub(super) fn failed(&mut self, now: Instant) {
        if self.is_failing(now) {
            // One incident fails many dials.
            return;
        }
        let growth = 1 << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + (FIRST * growth).min(LONGEST));
    }

    /// Whether others should be asked first.
    pub(super) fn is_failing(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_agent_is_probed_again_and_trusted_when_it_answers() {
        let start = Instant::now();
        let mut trust = Trust::default();
        assert!(!trust.is_failing(start));
        trust.failed(start);
        assert!(trust.is_failing(start));
        assert!(!trust.is_failing(start + FIRST));
        trust.failed(start + FIRST);
        assert!(trust.is_failing(start + FIRST * 2));
        assert!(!trust.is_failing(start + FIRST * 3));
        trust.answered();
        trust.failed(start);
        assert!(!trust.is_failing(start + FIRST));
    }

    #[test]
    fn dials_that_fail_together_count_once() {
        let start = Instant::now();
        let mut trust = Trust::default();
        for _ in 0..6 {
            trust.failed(start);
        }
        assert!(!trust.is_failing(start + FIRST));
    }

    #[test]
    fn no_agent_is_given_up_for_ever() {
        let start = Instant::now();
        let mut trust = Trust::default();
        for second in 0..1000 {
            trust.failed(start + FIRST * second);
        }
        assert!(!trust.is_failing(start + FIRST * 1000 + LONGEST));
    }
}
