//! Load: connections that carried 64 bytes once and then do nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::client::{Way, echo_within};
use super::echo::KEYSTROKE;
use super::{Ready, tell, until_unwanted};
use crate::error::{Error, Result};

/// How many are opened at once.
const PARALLEL: u32 = 32;
const LIMIT: Duration = Duration::from_secs(10);

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    way: Way,
    /// How many.
    #[arg(long)]
    connections: u32,
}

/// Opens them, says how many could not be opened, and stays.
pub async fn run(args: Args) -> Result<()> {
    let way = Arc::new(args.way);
    let mut workers = JoinSet::new();
    for worker in 0..PARALLEL {
        let way = Arc::clone(&way);
        // The first workers take what does not divide evenly.
        let share = args.connections.saturating_sub(worker).div_ceil(PARALLEL);
        workers.spawn(async move { open(&way, share).await });
    }
    let opened: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let kept = u32::try_from(opened.len()).unwrap_or(u32::MAX);
    tell(&Ready {
        failed: args.connections.saturating_sub(kept),
    })?;
    until_unwanted().await
}

async fn open(way: &Way, count: u32) -> Vec<UnixStream> {
    let mut opened = Vec::new();
    for _ in 0..count {
        let one = async {
            let mut stream = way.dial_within(LIMIT).await?;
            echo_within(&mut stream, &KEYSTROKE, LIMIT).await?;
            Ok::<_, Error>(stream)
        };
        match one.await {
            Ok(stream) => opened.push(stream),
            Err(error) => tracing::warn!("{}", error.chain()),
        }
    }
    opened
}
