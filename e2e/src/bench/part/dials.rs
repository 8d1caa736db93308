//! Load: connections that carry one byte there and back and end. Out: how many a second, and how long a dial takes.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::client::{Way, echo};
use super::echo::{Latencies, microseconds};
use super::{Ready, tell};
use crate::bench::statistics::number;
use crate::error::{Error, Result};

const LIMIT: Duration = Duration::from_secs(10);
/// Dials under way at once when they begin by the clock; more are failures.
const MOST: usize = 2048;

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    way: Way,
    /// So many at once, the next when one has ended.
    #[arg(long, conflicts_with = "per_second")]
    parallel: Option<u32>,
    /// So many begin in a second.
    #[arg(long)]
    per_second: Option<u32>,
    /// Milliseconds of measuring.
    #[arg(long)]
    window: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dialled {
    /// Connections that did all they should, a second.
    pub rate: f64,
    /// From the dial's beginning to the 200; `None` when none was answered.
    pub latencies: Option<Latencies>,
    /// How many did not.
    pub failed: u64,
    /// Why the first of them did not.
    pub first_failure: Option<String>,
}

/// Collects what single dials came to.
#[derive(Debug, Default)]
struct Tally {
    samples: Vec<f64>,
    failed: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn take(&mut self, result: Result<f64>) {
        match result {
            Ok(sample) => self.samples.push(sample),
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| error.chain());
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn finish(self, started: Instant) -> Dialled {
        let done = number(self.samples.len() as u64);
        Dialled {
            rate: done / started.elapsed().as_secs_f64(),
            latencies: Latencies::of(&self.samples),
            failed: self.failed,
            first_failure: self.first_failure,
        }
    }
}

/// Runs it.
pub async fn run(args: Args) -> Result<()> {
    let way = Arc::new(args.way);
    once(&way, Instant::now()).await?;
    tell(&Ready::default())?;
    let window = Duration::from_millis(args.window);
    let dialled = match args.per_second {
        Some(rate) => by_the_clock(way, rate, window).await,
        None => one_after_another(way, args.parallel.unwrap_or(1), window).await,
    };
    tell(&dialled?)
}

async fn one_after_another(way: Arc<Way>, parallel: u32, window: Duration) -> Result<Dialled> {
    let started = Instant::now();
    let end = started + window;
    let mut workers = JoinSet::new();
    for _ in 0..parallel {
        let way = Arc::clone(&way);
        workers.spawn(async move {
            let mut tally = Tally::default();
            while Instant::now() < end {
                tally.take(once(&way, Instant::now()).await);
            }
            tally
        });
    }
    let mut tally = Tally::default();
    for worker in workers.join_all().await {
        tally.merge(worker);
    }
    Ok(tally.finish(started))
}

async fn by_the_clock(way: Arc<Way>, rate: u32, window: Duration) -> Result<Dialled> {
    let started = Instant::now();
    let mut clock = interval(Duration::from_secs(1) / rate.max(1));
    let mut dials = JoinSet::new();
    let mut tally = Tally::default();
    while started.elapsed() < window {
        clock.tick().await;
        if dials.len() < MOST {
            let way = Arc::clone(&way);
            // Not the tick: how late our own clock wakes us is not the tunnel's doing.
            let begun = Instant::now();
            dials.spawn(async move { once(&way, begun).await });
        } else {
            tally.take(Err(Error::Unexpected {
                what: "dials under way at once".into(),
                expected: format!("fewer than {MOST}"),
                found: "more".into(),
            }));
        }
        while let Some(Ok(result)) = dials.try_join_next() {
            tally.take(result);
        }
    }
    for result in dials.join_all().await {
        tally.take(result);
    }
    Ok(tally.finish(started))
}

/// One connection's life; says how long its dial took since it was begun, in microseconds.
async fn once(way: &Way, begun: Instant) -> Result<f64> {
    let mut stream = way.dial_within(LIMIT).await?;
    let took = microseconds(begun);
    let echoed = tokio::time::timeout(LIMIT, echo(&mut stream, b"!")).await;
    echoed.map_err(|_elapsed| Error::Late {
        what: "a byte comes back".into(),
        limit: LIMIT,
        last: "nothing".into(),
    })??;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::error::Error;

    #[test]
    fn failed_dials_are_counted_and_the_first_is_kept() {
        let missing = |what: &str| Error::Missing {
            what: what.into(),
            remedy: "wait".into(),
        };
        let mut one = Tally::default();
        one.take(Ok(5.0));
        one.take(Err(missing("the first")));
        let mut other = Tally::default();
        other.take(Err(missing("the second")));
        one.merge(other);
        assert_eq!((one.samples.len(), one.failed), (1, 2));
        assert!(one.first_failure.expect("kept").contains("the first"));
    }
}
