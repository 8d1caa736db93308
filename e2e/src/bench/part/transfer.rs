//! Load: transfers that never end, all one way. Out: the bytes of a window and the CPU time the tunnel took for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client::Way;
use super::{Ready, tell};
use crate::bench::measure::Direction;
use crate::bench::usage;
use crate::error::{Error, Result};

/// What is written at once, as kube-apiserver's TLS does.
const RECORD: usize = 16 * 1024;
const BUFFER: usize = 64 * 1024;

/// Flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    way: Way,
    /// How many at once.
    #[arg(long)]
    connections: u32,
    /// Which way.
    #[arg(long, value_enum)]
    direction: Direction,
    /// Milliseconds before the window.
    #[arg(long)]
    warm_up: u64,
    /// Milliseconds of the window.
    #[arg(long)]
    window: u64,
    /// Who says how many bytes arrived when they go up; our own count when they go down.
    #[arg(long)]
    counter: Option<String>,
    /// Processes whose CPU time is taken.
    #[arg(long, value_delimiter = ',')]
    watch: Vec<u32>,
}

/// What happened in the window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Transferred {
    /// Bytes that arrived.
    pub bytes: u64,
    /// How long the window was.
    pub seconds: f64,
    /// CPU time of the watched processes.
    pub cpu_seconds: f64,
}

/// Runs the transfers; an end of any of them is an error.
pub async fn run(args: Args) -> Result<()> {
    let count = Arc::new(AtomicU64::new(0));
    let mut transfers = JoinSet::new();
    for stream in args.way.dial_all(args.connections).await? {
        transfers.spawn(transfer(stream, args.direction, Arc::clone(&count)));
    }
    let mut arrived = match &args.counter {
        Some(address) => Counter::Far(connect(address).await?),
        None => Counter::Own(count),
    };
    tell(&Ready::default())?;
    let window = async {
        sleep(Duration::from_millis(args.warm_up)).await;
        let (started, bytes) = (Instant::now(), arrived.read().await?);
        let cpu = usage::cpu(&args.watch)?;
        sleep(Duration::from_millis(args.window)).await;
        let cpu = usage::cpu(&args.watch)?.saturating_sub(cpu);
        let seconds = started.elapsed().as_secs_f64();
        Ok::<_, Error>(Transferred {
            bytes: arrived.read().await?.saturating_sub(bytes),
            seconds,
            cpu_seconds: cpu.as_secs_f64(),
        })
    };
    tokio::select! {
        transferred = window => tell(&transferred?),
        ended = transfers.join_next() => Err(Error::Unexpected {
            what: "a transfer without an end".into(),
            expected: "to go on".into(),
            found: format!("{ended:?}"),
        }),
    }
}

/// How many bytes have arrived.
#[derive(Debug)]
enum Counter {
    Own(Arc<AtomicU64>),
    Far(TcpStream),
}

impl Counter {
    async fn read(&mut self) -> Result<u64> {
        match self {
            Self::Own(count) => Ok(count.load(Ordering::Relaxed)),
            Self::Far(stream) => {
                let asked = async {
                    stream.write_u8(b'?').await?;
                    stream.read_u64().await
                };
                asked.await.map_err(Error::file("ask", "the counter"))
            }
        }
    }
}

async fn connect(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(Error::file("connect to", address))?;
    let set = stream.set_nodelay(true);
    set.map_err(Error::file("connect to", address))?;
    Ok(stream)
}

async fn transfer(
    mut stream: UnixStream,
    direction: Direction,
    count: Arc<AtomicU64>,
) -> std::io::Result<()> {
    match direction {
        Direction::Up => {
            let record = vec![0x5a; RECORD];
            loop {
                stream.write_all(&record).await?;
            }
        }
        Direction::Down => {
            stream.write_all(b"!").await?;
            let mut buffer = vec![0; BUFFER];
            loop {
                let bytes = stream.read(&mut buffer).await?;
                if bytes == 0 {
                    return Ok(());
                }
                count.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        }
    }
}
