//! The endpoints behind the tunnel, in a process of their own: one that answers, one that sends, one that takes, one
//! that never reads. What the one that takes has taken is asked at a port beside the tunnel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{listen, serve, tell, until_unwanted};
use crate::error::Result;

/// Addresses of the echo: thousands of short connections need more ports than one address has.
const ECHOES: u8 = 16;
/// What an endpoint writes at once, as TLS does.
const RECORD: usize = 16 * 1024;
const BUFFER: usize = 64 * 1024;
/// How long one that never reads keeps its connection: longer than anybody is measured beside it.
const STUCK: Duration = Duration::from_mins(1);

/// Where the endpoints are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Addresses {
    /// Sends back what it gets.
    pub echo: Vec<String>,
    /// Waits for a byte, then sends without end.
    pub source: String,
    /// Reads without end.
    pub discard: String,
    /// Never reads.
    pub stuck: String,
    /// Answers each byte with how many bytes `discard` has read: eight, the highest first.
    pub counter: String,
}

/// What an endpoint does with a connection.
#[derive(Debug, Clone)]
enum Kind {
    Echo,
    Source,
    Discard(Arc<AtomicU64>),
    Stuck,
    Counter(Arc<AtomicU64>),
}

/// Serves all of them.
pub async fn run() -> Result<()> {
    let mut serving = JoinSet::new();
    let mut echo = Vec::new();
    for last in 1..=ECHOES {
        let (listener, address) = listen(&format!("127.0.0.{last}")).await?;
        serving.spawn(offer(listener, Kind::Echo));
        echo.push(address.to_string());
    }
    let mut others = Vec::new();
    let taken = Arc::new(AtomicU64::new(0));
    let discard = Kind::Discard(Arc::clone(&taken));
    for kind in [Kind::Source, discard, Kind::Stuck, Kind::Counter(taken)] {
        let (listener, address) = listen("127.0.0.1").await?;
        serving.spawn(offer(listener, kind));
        others.push(address.to_string());
    }
    let mut others = others.into_iter();
    let mut other = || others.next().unwrap_or_default();
    tell(&Addresses {
        echo,
        source: other(),
        discard: other(),
        stuck: other(),
        counter: other(),
    })?;
    tokio::select! {
        Some(Ok(Err(error))) = serving.join_next() => Err(error),
        ended = until_unwanted() => ended,
    }
}

async fn offer(listener: TcpListener, kind: Kind) -> Result<()> {
    serve(listener, "an endpoint's port", |stream| {
        attend(stream, kind.clone())
    })
    .await
}

async fn attend(mut stream: TcpStream, kind: Kind) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match kind {
        Kind::Echo => {
            // Small, because ten thousand of them may be idle.
            let mut buffer = [0; 256];
            loop {
                let count = stream.read(&mut buffer).await?;
                let Some(got) = buffer.get(..count).filter(|got| !got.is_empty()) else {
                    return Ok(());
                };
                stream.write_all(got).await?;
            }
        }
        Kind::Source => {
            stream.read_u8().await?;
            let record = vec![0x5a; RECORD];
            loop {
                stream.write_all(&record).await?;
            }
        }
        Kind::Discard(taken) => {
            let mut buffer = vec![0; BUFFER];
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    count => taken.fetch_add(count as u64, Ordering::Relaxed),
                };
            }
        }
        Kind::Stuck => {
            tokio::time::sleep(STUCK).await;
            Ok(())
        }
        Kind::Counter(taken) => loop {
            stream.read_u8().await?;
            let count = taken.load(Ordering::Relaxed);
            stream.write_u64(count).await?;
        },
    }
}
