//! Load: one connection, 64 bytes there and back, again and again, as keystrokes go. Out: how long that takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::client::{Way, echo_within};
use super::{Ready, tell};
use crate::bench::statistics::percentile;
use crate::error::Result;

/// What goes there and back.
pub(super) const KEYSTROKE: [u8; 64] = [0x5a; 64];
const LIMIT: Duration = Duration::from_secs(10);

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    way: Way,
    /// Milliseconds of measuring.
    #[arg(long)]
    window: u64,
}

/// How long it took, in microseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Latencies {
    /// Half of them took no longer.
    pub p50: f64,
    /// One of a hundred took longer.
    pub p99: f64,
}

impl Latencies {
    /// Of these samples; `None` of none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        Some(Self {
            p50: percentile(samples, 50)?,
            p99: percentile(samples, 99)?,
        })
    }
}

/// Runs it.
pub async fn run(args: Args) -> Result<()> {
    let mut stream = args.way.dial_within(LIMIT).await?;
    echo_within(&mut stream, &KEYSTROKE, LIMIT).await?;
    tell(&Ready::default())?;
    let end = Instant::now() + Duration::from_millis(args.window);
    let mut samples = Vec::new();
    while Instant::now() < end {
        let started = Instant::now();
        echo_within(&mut stream, &KEYSTROKE, LIMIT).await?;
        samples.push(microseconds(started));
    }
    tell(&Latencies::of(&samples))
}

/// Since then.
pub(super) fn microseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
