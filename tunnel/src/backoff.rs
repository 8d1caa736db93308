//! How long to wait before the next try: grows by half each time, up to a cap, with jitter so that
//! a thousand agents do not come back in the same instant. Pure: randomness comes in as a value.

use std::time::Duration;

/// The reference's growth between two tries.
const FACTOR: f64 = 1.5;
/// At most this share of the delay is added at random.
const JITTER: f64 = 0.1;

/// Delays of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never exceeds `cap`, jitter aside.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            next: first.min(cap),
        }
    }

    /// The delay before the next try; `random` lies in `0.0..1.0`.
    pub fn next(&mut self, random: f64) -> Duration {
        let delay = self.next;
        self.next = delay.mul_f64(FACTOR).min(self.cap);
        jittered(delay, random)
    }

    /// Forgets the failures: something worked.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.cap);
    }
}

/// `delay` plus up to a tenth of it; `random` lies in `0.0..1.0`.
pub fn jittered(delay: Duration, random: f64) -> Duration {
    delay + delay.mul_f64(JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_by_half_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
        let seconds: Vec<f64> = (0..5).map(|_| backoff.next(0.0).as_secs_f64()).collect();
        assert_eq!(seconds, [1.0, 1.5, 2.25, 3.0, 3.0]);
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn no_delay_exceeds_cap_and_jitter(tries in 1_usize..60, random in 0.0_f64..1.0) {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
            for _ in 0..tries {
                prop_assert!(backoff.next(random) <= Duration::from_secs(11));
            }
        }
    }
}
