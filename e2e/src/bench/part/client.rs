//! A client as kube-apiserver is one: HTTP CONNECT over a Unix socket, and not a byte taken that is behind the 200.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::error::{Error, Result};

/// Longer heads are refused.
const LONGEST_HEAD: usize = 8 * 1024;

/// How long a dial may take that a load is worth nothing without.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a load goes.
#[derive(Debug, clap::Args)]
pub struct Way {
    /// The frontend's socket.
    #[arg(long)]
    socket: PathBuf,
    /// Endpoints, used in turn, so that no pair of addresses runs out of ports.
    #[arg(long, value_delimiter = ',', required = true)]
    targets: Vec<String>,
    #[arg(skip)]
    next: AtomicUsize,
}

impl Way {
    /// Through this socket to these endpoints.
    pub fn new(socket: &Path, targets: &[String]) -> Self {
        Self {
            socket: socket.to_owned(),
            targets: targets.to_vec(),
            next: AtomicUsize::new(0),
        }
    }

    /// Opens a connection to the next endpoint.
    pub async fn dial(&self) -> Result<UnixStream> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.targets.len().max(1);
        let target = self.targets.get(turn).map_or("", String::as_str);
        let failed = || Error::file("dial through", &self.socket);
        let connected = UnixStream::connect(&self.socket).await;
        let mut stream = connected.map_err(failed())?;
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let written = stream.write_all(request.as_bytes()).await;
        written.map_err(failed())?;
        let head = read_head(&mut stream).await.map_err(failed())?;
        if head.split(' ').nth(1) == Some("200") {
            return Ok(stream);
        }
        Err(Error::Unexpected {
            what: format!("CONNECT {target}"),
            expected: "200".into(),
            found: head,
        })
    }

    /// The same, and an error when it takes longer than `limit`.
    pub async fn dial_within(&self, limit: Duration) -> Result<UnixStream> {
        let dialled = timeout(limit, self.dial()).await;
        dialled.unwrap_or_else(|_elapsed| Err(late("a dial is answered", limit)))
    }

    /// Opens so many connections before any of them is used: a tunnel that is loaded may answer no dial any more.
    pub async fn dial_all(&self, connections: u32) -> Result<Vec<UnixStream>> {
        let mut streams = Vec::new();
        for _ in 0..connections {
            streams.push(self.dial_within(PATIENCE).await?);
        }
        Ok(streams)
    }
}

/// Sends `payload` and reads as much back.
pub async fn echo(stream: &mut UnixStream, payload: &[u8]) -> Result<()> {
    let mut back = [0; 64];
    let back = back.get_mut(..payload.len()).unwrap_or_default();
    let failed = || Error::file("echo over", "a connection");
    stream.write_all(payload).await.map_err(failed())?;
    stream.read_exact(back).await.map_err(failed())?;
    if back == payload {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: "an echo".into(),
        expected: format!("{payload:?}"),
        found: format!("{back:?}"),
    })
}

/// The same, and an error when it takes longer than `limit`.
pub async fn echo_within(stream: &mut UnixStream, payload: &[u8], limit: Duration) -> Result<()> {
    let echoed = timeout(limit, echo(stream, payload)).await;
    echoed.unwrap_or_else(|_elapsed| Err(late("an echo comes back", limit)))
}

/// Reads up to the empty line; a byte behind it is an error, as it is to kube-apiserver.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::with_capacity(256);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match head.windows(4).position(|part| part == b"\r\n\r\n") {
            Some(end) if end + 4 == head.len() => {
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            Some(_) => return Err(std::io::Error::other("bytes behind the head")),
            None if head.len() > LONGEST_HEAD => {
                return Err(std::io::Error::other("the head has no end"));
            }
            None => {}
        }
    }
}

fn late(what: &str, limit: Duration) -> Error {
    Error::Late {
        what: what.into(),
        limit,
        last: "no answer".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::read_head;

    #[tokio::test]
    async fn a_byte_behind_the_head_is_an_error() {
        let mut alone: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
        assert!(read_head(&mut alone).await.is_ok());
        let mut followed: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nx";
        assert!(read_head(&mut followed).await.is_err());
        let mut cut: &[u8] = b"HTTP/1.1 200";
        assert!(read_head(&mut cut).await.is_err());
    }
}
