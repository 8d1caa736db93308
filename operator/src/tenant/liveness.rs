//! Whether a tenant's API server still answers, when nothing else tells: a connection that a firewall has forgotten
//! looks like one on which nothing happens, and a watch on it waits for minutes.
//!
//! In: what is believed, and what a probe hears now and then. Out: the moment at which the two part. The clock is
//! tokio's, which tests can pause; what is written anywhere is decided elsewhere, so an idle tenant costs one small
//! request each time and the management cluster nothing.

use std::time::Duration;

use http::{Request, Uri};
use kube::Client;
use tokio::time::{sleep, timeout};

use super::call::{CallError, call_within};

/// How tenants are asked whether they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probing {
    /// From one probe to the next, give or take a fifth.
    pub every: Duration,
    /// A probe that brings no answer within this time has found silence.
    pub limit: Duration,
}

impl Default for Probing {
    /// Silence is noticed after 18 + 7 s at most, and believed after 7 s more on new connections.
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15),
            limit: Duration::from_secs(7),
        }
    }
}

impl Probing {
    /// The pause before the next probe. `spread`, from 0 to 1, keeps many tenants from being asked all at once.
    pub fn pause(self, spread: f64) -> Duration {
        self.every.mul_f64(0.8 + 0.4 * spread.clamp(0.0, 1.0))
    }
}

/// What is held true of a tenant's API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// It answers.
    Answers,
    /// Nothing comes back.
    Silent,
}

/// Probes now and then, and completes when what a probe hears contradicts the belief.
pub async fn contradicted<F: Future<Output = Belief>>(
    probing: Probing,
    belief: Belief,
    mut spread: impl FnMut() -> f64,
    mut probe: impl FnMut() -> F,
) {
    loop {
        sleep(probing.pause(spread())).await;
        let heard = timeout(probing.limit, probe()).await;
        if heard.unwrap_or(Belief::Silent) != belief {
            return;
        }
    }
}

/// One probe. Any answer counts, also one that refuses: what it says is the next pass's to judge.
pub async fn ask(tenant: &Client, limit: Duration) -> Result<(), CallError> {
    let mut request = Request::new(Vec::new());
    *request.uri_mut() = Uri::from_static("/version");
    match call_within(limit, tenant.request_text(request)).await {
        Err(error) if error.code().is_none() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    const PROBING: Probing = Probing {
        every: Duration::from_secs(15),
        limit: Duration::from_secs(7),
    };

    /// How long it takes until the belief is contradicted, and how many probes.
    async fn run<F: Future<Output = Belief>>(
        belief: Belief,
        spread: f64,
        mut probe: impl FnMut(u32) -> F,
    ) -> (Duration, u32) {
        let (start, mut probes) = (Instant::now(), 0);
        let counted = || {
            probes += 1;
            probe(probes)
        };
        contradicted(PROBING, belief, || spread, counted).await;
        (start.elapsed(), probes)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_within_one_pause_and_one_limit() {
        let (after, probes) = run(Belief::Answers, 1.0, |_| pending()).await;
        assert_eq!((after.as_secs(), probes), (18 + 7, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_expected_wake_nobody() {
        let slow = |probe| async move {
            sleep(Duration::from_secs(6)).await;
            if probe < 100 {
                Belief::Answers
            } else {
                Belief::Silent
            }
        };
        let (after, probes) = run(Belief::Answers, 0.5, slow).await;
        assert_eq!((after.as_secs(), probes), (100 * (15 + 6), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_the_silence() {
        let back = |probe| async move {
            match probe {
                1 => pending().await,
                2 => Belief::Silent,
                _ => Belief::Answers,
            }
        };
        let (after, probes) = run(Belief::Silent, 0.0, back).await;
        assert_eq!((after.as_secs(), probes), (12 + 7 + 12 + 12, 3));
    }

    #[test]
    fn probes_are_spread_over_two_fifths_of_the_interval() {
        let pauses = [-1.0, 0.0, 0.5, 1.0, 7.0].map(|spread| PROBING.pause(spread).as_secs());
        assert_eq!(pauses, [12, 12, 15, 18, 18]);
    }
}
