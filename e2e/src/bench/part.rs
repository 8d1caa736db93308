//! Processes of a run that are this program itself: relays, endpoints, the slow line, and those who make the load.
//!
//! Each runs on one thread, writes what it found as one line of JSON for each step, and ends when its standard input
//! does, which is when the run no longer needs it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::report::say;

pub mod client;
pub mod delay;
pub mod dials;
pub mod echo;
pub mod idle;
pub mod probe;
pub mod relay;
pub mod sink;
pub mod stall;
pub mod tls;
pub mod transfer;

/// What a part that listens says first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listening {
    /// Where.
    pub address: String,
}

/// What a part that makes load says when it is under way.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Ready {
    /// Connections that it could not open.
    pub failed: u32,
}

/// Writes one line of JSON.
pub fn tell(what: &impl Serialize) -> Result<()> {
    say(&serde_json::to_string(what)?)
}

/// Returns when nobody holds the other end of our standard input.
pub async fn until_unwanted() -> Result<()> {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    loop {
        let count = input.read(&mut ignored).await;
        if count.map_err(Error::file("read", "standard input"))? == 0 {
            return Ok(());
        }
    }
}

/// Where connections come in.
pub trait Door {
    /// One of them.
    type Stream;

    /// The next one.
    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Gives each connection a task of its own, without end. A client that goes away ends its task; nobody asks how.
pub async fn serve<D, F>(door: D, name: &str, attend: impl Fn(D::Stream) -> F) -> Result<()>
where
    D: Door,
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let next = door.next().await;
        connections.spawn(attend(next.map_err(Error::file("accept on", name))?));
        while connections.try_join_next().is_some() {}
    }
}

/// The same, until nobody wants it.
pub async fn serve_while_wanted<D, F>(
    door: D,
    name: &str,
    attend: impl Fn(D::Stream) -> F,
) -> Result<()>
where
    D: Door,
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    tokio::select! {
        ended = serve(door, name, attend) => ended,
        ended = until_unwanted() => ended,
    }
}

/// A listener on a loopback address of its own port.
pub async fn listen(host: &str) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((host, 0)).await;
    let listener = listener.map_err(Error::file("listen on", host))?;
    let address = listener.local_addr();
    Ok((listener, address.map_err(Error::file("listen on", host))?))
}
