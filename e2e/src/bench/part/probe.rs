//! Load: what somebody beside a stalled connection does: keystrokes on a connection that stands, and fresh dials. Out:
//! how long both take, and how many fail. What takes longer than [`LIMIT`] has failed, and counts as that long.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::client::{Way, echo_within};
use super::echo::{KEYSTROKE, Latencies, microseconds};
use super::{Ready, tell};
use crate::error::Result;

/// What takes longer has failed.
const LIMIT: Duration = Duration::from_secs(2);
/// Keystrokes for each dial.
const KEYSTROKES: u32 = 5;
/// After so many failures nothing more is learned.
const ENOUGH: u32 = 3;

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    way: Way,
    /// Milliseconds of measuring.
    #[arg(long)]
    window: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Probed {
    /// Of keystrokes; `None` when no dial was answered.
    pub echo: Option<Latencies>,
    /// Of dials.
    pub dial: Option<Latencies>,
    /// Keystrokes and dials that failed.
    pub failed: u32,
}

/// Samples of one kind, in microseconds.
#[derive(Debug, Default)]
struct Samples {
    taken: Vec<f64>,
    failed: u32,
}

impl Samples {
    fn take<T>(&mut self, started: Instant, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.taken.push(microseconds(started));
                Some(value)
            }
            Err(error) => {
                tracing::warn!("{}", error.chain());
                self.taken.push(LIMIT.as_secs_f64() * 1e6);
                self.failed += 1;
                None
            }
        }
    }
}

/// Runs it.
pub async fn run(args: Args) -> Result<()> {
    tell(&Ready::default())?;
    let (mut echoes, mut dials) = (Samples::default(), Samples::default());
    let mut warm: Option<UnixStream> = None;
    let end = Instant::now() + Duration::from_millis(args.window);
    while Instant::now() < end && echoes.failed + dials.failed < ENOUGH {
        let started = Instant::now();
        let dialled = args.way.dial_within(LIMIT).await;
        let Some(mut fresh) = dials.take(started, dialled) else {
            continue;
        };
        // The first byte over a fresh connection shows that it is one.
        let started = Instant::now();
        let back = echo_within(&mut fresh, &KEYSTROKE, LIMIT).await;
        if echoes.take(started, back).is_none() {
            continue;
        }
        let mut stream = warm.take().unwrap_or(fresh);
        if keystrokes(&mut stream, &mut echoes).await {
            warm = Some(stream);
        }
    }
    tell(&Probed {
        echo: Latencies::of(&echoes.taken),
        dial: Latencies::of(&dials.taken),
        failed: echoes.failed + dials.failed,
    })
}

/// Whether all of them came back.
async fn keystrokes(stream: &mut UnixStream, echoes: &mut Samples) -> bool {
    for _ in 0..KEYSTROKES {
        let started = Instant::now();
        let back = echo_within(stream, &KEYSTROKE, LIMIT).await;
        if echoes.take(started, back).is_none() {
            return false;
        }
    }
    true
}
