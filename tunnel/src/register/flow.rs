//! One direction of a connection in three numbers: how much passed, how much is held, when it moved last.
//!
//! In: what whoever carries the bytes takes and gives. Out: the same for whoever looks. One task
//! writes, anybody reads, nobody waits; the three are read one by one, so a reader may see a moment
//! between two of them. Time comes in as milliseconds of the connection's age.

use std::sync::atomic::{AtomicU64, Ordering};

/// One direction.
#[derive(Debug, Default)]
pub struct Flow {
    passed: AtomicU64,
    held: AtomicU64,
    moved: AtomicU64,
}

impl Flow {
    /// Whoever carries the bytes has so many in hand and waits for somebody to take them.
    pub fn holds(&self, bytes: usize, age: u64) {
        if bytes == 0 {
            return;
        }
        if self.held.swap(bytes as u64, Ordering::Relaxed) == 0 {
            self.moved.store(age, Ordering::Relaxed);
        }
    }

    /// So many were taken; 0 says that it moves.
    pub fn passed(&self, bytes: usize, age: u64) {
        let bytes = bytes as u64;
        self.passed.fetch_add(bytes, Ordering::Relaxed);
        let held = self.held.load(Ordering::Relaxed);
        self.held
            .store(held.saturating_sub(bytes), Ordering::Relaxed);
        self.moved.store(age, Ordering::Relaxed);
    }

    /// What is in hand.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that were taken, ever.
    pub fn total(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// For how long nothing moved.
    pub fn idle(&self, age: u64) -> u64 {
        age.saturating_sub(self.moved.load(Ordering::Relaxed))
    }

    /// For how long nothing moved although something was in hand.
    pub fn stalled(&self, age: u64) -> u64 {
        match self.held() {
            0 => 0,
            _ => self.idle(age),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_begins_when_bytes_are_in_hand_not_when_something_moved_last() {
        let flow = Flow::default();
        assert_eq!((flow.idle(5000), flow.stalled(5000)), (5000, 0));
        flow.holds(100, 5000);
        assert_eq!(
            (flow.held(), flow.stalled(5000), flow.stalled(7000)),
            (100, 0, 2000)
        );
        flow.holds(120, 8000);
        assert_eq!(
            (flow.held(), flow.stalled(9000)),
            (120, 4000),
            "more in hand moves nothing"
        );
        flow.passed(20, 9000);
        assert_eq!(
            (flow.total(), flow.held(), flow.stalled(9500)),
            (20, 100, 500)
        );
        flow.passed(0, 9800);
        assert_eq!(flow.stalled(9900), 100, "it moves");
        flow.passed(100, 10_000);
        assert_eq!(
            (
                flow.total(),
                flow.held(),
                flow.stalled(60_000),
                flow.idle(60_000)
            ),
            (120, 0, 0, 50_000)
        );
    }

    #[test]
    fn taking_what_was_never_in_hand_counts_and_holds_nothing() {
        let flow = Flow::default();
        flow.holds(0, 1);
        flow.passed(7, 2);
        assert_eq!((flow.total(), flow.held(), flow.idle(1)), (7, 0, 0));
    }
}
