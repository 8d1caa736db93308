//! How long to wait before an object that failed is tried again: longer each time, per object.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// First delay after a failure.
const FIRST: Duration = Duration::from_secs(1);
/// No delay is longer: what a watch does not see is tried again at least this often.
const LONGEST: Duration = Duration::from_mins(1);

/// The delay after the `failures`-th failure in a row (counted from 1).
#[must_use]
pub fn delay(failures: u32) -> Duration {
    FIRST
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(LONGEST)
}

/// Failures in a row, by object.
#[derive(Debug, Default)]
pub struct Failures(Mutex<BTreeMap<(Option<String>, String), u32>>);

impl Failures {
    /// Counts one more failure and says how long to wait; never shorter than `asked`, which a server may say.
    pub fn failed(
        &self,
        namespace: Option<String>,
        name: String,
        asked: Option<Duration>,
    ) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((namespace, name)).or_insert(0);
        *count = count.saturating_add(1);
        delay(*count).max(asked.unwrap_or_default())
    }

    /// Forgets the failures of an object that went well or is gone.
    pub fn succeeded(&self, namespace: Option<String>, name: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(namespace, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute_and_start_over_after_success() {
        let failures = Failures::default();
        let failed = || {
            failures
                .failed(Some("a".into()), "b".into(), None)
                .as_secs()
        };
        let delays: Vec<_> = std::iter::repeat_with(failed).take(8).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        failures.succeeded(Some("a".into()), "b".into());
        assert_eq!(failed(), 1);
    }

    #[test]
    fn a_server_that_asks_for_more_time_gets_it() {
        let failures = Failures::default();
        let delay = failures.failed(None, "b".into(), Some(Duration::from_secs(9)));
        assert_eq!(delay, Duration::from_secs(9));
    }
}
