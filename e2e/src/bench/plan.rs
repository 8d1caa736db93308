//! How much is measured: rounds and windows of the quick and of the full run. Pure.

use std::time::Duration;

/// One run's rounds, windows and limits.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds of transfers.
    pub transfer_rounds: u32,
    /// Rounds of everything else but memory and slow lines.
    pub rounds: u32,
    /// Rounds of memory and of slow lines, which differ little.
    pub few_rounds: u32,
    /// What is not measured at the start of a transfer.
    pub warm_up: Duration,
    /// What is measured of it.
    pub transfer: Duration,
    /// How long latencies and dials are measured.
    pub latency: Duration,
    /// How long those who stand still may fill what there is before others are measured.
    pub fill: Duration,
    /// How long dials and round trips beside them are measured.
    pub stalled: Duration,
    /// How long the CPU time of idle connections is measured.
    pub idle: Duration,
    /// What is not measured of a transfer through a slow line.
    pub slow_warm_up: Duration,
    /// What is measured of it.
    pub slow: Duration,
    /// When the whole run stops trying what it has not begun.
    pub limit: Duration,
}

impl Plan {
    /// Some three minutes: to see that a change did not break a figure by half.
    pub const QUICK: Self = Self {
        transfer_rounds: 2,
        rounds: 1,
        few_rounds: 1,
        warm_up: Duration::from_millis(200),
        transfer: Duration::from_millis(500),
        latency: Duration::from_millis(400),
        fill: Duration::from_millis(600),
        stalled: Duration::from_millis(700),
        idle: Duration::from_secs(2),
        slow_warm_up: Duration::from_secs(1),
        slow: Duration::from_secs(1),
        limit: Duration::from_mins(5),
    };

    /// Some twenty minutes: what a claim is made of.
    pub const FULL: Self = Self {
        transfer_rounds: 5,
        rounds: 3,
        few_rounds: 2,
        warm_up: Duration::from_millis(300),
        transfer: Duration::from_millis(1500),
        latency: Duration::from_millis(1500),
        fill: Duration::from_secs(1),
        stalled: Duration::from_millis(1500),
        idle: Duration::from_secs(5),
        slow_warm_up: Duration::from_millis(1500),
        slow: Duration::from_millis(2500),
        limit: Duration::from_mins(25),
    };
}

/// Who goes when: every second round backwards, so that nobody always follows the same one.
pub fn order<T: Copy>(all: &[T], round: u32) -> Vec<T> {
    if round.is_multiple_of(2) {
        all.to_vec()
    } else {
        all.iter().rev().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn rounds_go_there_and_back() {
        assert_eq!(order(&[1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(order(&[1, 2, 3], 1), [3, 2, 1]);
    }
}
