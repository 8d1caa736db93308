//! Load: connections whose client or endpoint stands still while the other side sends all it can.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::Way;
use super::{Ready, tell, until_unwanted};
use crate::bench::measure::Direction;
use crate::error::Result;

const RECORD: usize = 16 * 1024;

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    way: Way,
    /// How many at once.
    #[arg(long)]
    connections: u32,
    /// Which way the bytes would go: down to clients that do not read, or up to endpoints that do not.
    #[arg(long, value_enum)]
    direction: Direction,
    /// Milliseconds until what there is to fill is full.
    #[arg(long)]
    fill: u64,
}

/// Opens them, fills what there is, says so, and stays.
pub async fn run(args: Args) -> Result<()> {
    let mut standing = JoinSet::new();
    for stream in args.way.dial_all(args.connections).await? {
        standing.spawn(stand(stream, args.direction));
    }
    sleep(Duration::from_millis(args.fill)).await;
    tell(&Ready::default())?;
    // A tunnel may close who stands still; that is its business.
    until_unwanted().await
}

async fn stand(mut stream: UnixStream, direction: Direction) -> std::io::Result<()> {
    match direction {
        Direction::Down => {
            stream.write_all(b"!").await?;
            std::future::pending().await
        }
        Direction::Up => {
            let record = vec![0x5a; RECORD];
            loop {
                stream.write_all(&record).await?;
            }
        }
    }
}
