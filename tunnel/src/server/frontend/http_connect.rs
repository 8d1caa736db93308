//! The HTTP CONNECT frontend: one TCP or Unix connection carries one CONNECT and then the tunnelled bytes.
//! In: a socket. Out: a status line of the reference, then a relay until one side ends.
//!
//! The client's socket is read while the agent dials: a client that gives up cancels the dial, and early bytes are
//! kept for the endpoint. The `200` is a write of its own, because kube-apiserver refuses any byte behind it in the
//! same read. With a native agent the end of one direction leaves the other one open. The reference's wire knows no
//! half-close: when the client is done, `CLOSE_REQ` follows its last byte, and what the endpoint had sent before still
//! reaches the client.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::io::poll_read_buf;

use super::connect_request::{self, ConnectRequest, HeadError};
use super::{DialError, Dialer};
use crate::protocol::destination::Destination;
use crate::server::backend::{Connection, Ending};
use crate::server::metrics::{DialFailureReason, Metrics, PacketKind, Segment};

/// A client has this long to send its request.
const HEAD: Duration = Duration::from_secs(10);
/// A client that is refused has this long to take the answer.
const PARTING: Duration = Duration::from_secs(1);
/// Bytes a client may send ahead of its answer.
const AHEAD: usize = 64 * 1024;
/// Bytes read from the client at once: little from a quiet one, more from a busy one.
const CHUNKS: std::ops::RangeInclusive<usize> = 2 * 1024..=64 * 1024;
/// After the client is done, the agent has this long to confirm.
const CLOSE: Duration = Duration::from_secs(10);

/// Why a client's connection ended before a relay began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The request is not one.
    #[error("refused a request: {0}")]
    Head(#[from] HeadError),
    /// No whole request came.
    #[error("no request within {HEAD:?}")]
    Slow,
    /// The client hung up.
    #[error("the client hung up")]
    Gone,
    /// The socket failed.
    #[error("the client's socket failed")]
    Io(#[from] io::Error),
}

/// Serves one client to its end.
pub(crate) async fn serve<S>(
    socket: S,
    dialer: Dialer,
    metrics: Metrics,
) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite,
{
    let _open = Open::new(&metrics);
    let (mut reader, mut writer) = tokio::io::split(socket);
    let mut received = BytesMut::new();
    let request = match timeout(HEAD, read_head(&mut reader, &mut received)).await {
        Err(_elapsed) => return Err(ConnectError::Slow),
        Ok(Err(ConnectError::Head(error))) => {
            part((reader, writer), &refusal(error)).await?;
            return Err(error.into());
        }
        Ok(request) => request?,
    };
    drop(received.split_to(request.head));
    let dialled = tokio::select! {
        dialled = dial(&dialer, &request.authority) => dialled,
        gone = read_ahead(&mut reader, &mut received) => return Err(gone),
    };
    let connection = match dialled {
        Ok(connection) => connection,
        Err(error) => {
            return Ok(part((reader, writer), &failure(&error)).await?);
        }
    };
    if let Err(error) = establish(&mut writer).await {
        metrics.dial_failed(DialFailureReason::SendRsp);
        return Err(error.into());
    }
    relay(&connection, (reader, writer), received.freeze(), &metrics).await;
    Ok(())
}

async fn establish<W: AsyncWrite + Unpin>(writer: &mut W) -> io::Result<()> {
    writer
        .write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        .await?;
    writer.flush().await
}

async fn read_head<R: AsyncRead + Unpin>(
    reader: &mut R,
    received: &mut BytesMut,
) -> Result<ConnectRequest, ConnectError> {
    loop {
        if let Some(request) = connect_request::parse(received)? {
            return Ok(request);
        }
        if reader.read_buf(received).await? == 0 {
            return Err(ConnectError::Gone);
        }
    }
}

async fn dial(dialer: &Dialer, authority: &str) -> Result<Connection, DialError> {
    let destination =
        Destination::tcp(authority).map_err(|error| DialError::Refused(error.to_string()))?;
    dialer.dial(&destination).await
}

/// Answers with a refusal. What the client still sends is read for a moment: closing a socket with unread bytes
/// in it would take the answer away from the client.
async fn part<R, W>((mut reader, mut writer): (R, W), answer: &str) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    writer.write_all(answer.as_bytes()).await?;
    writer.shutdown().await?;
    let discarded = async {
        let mut buffer = BytesMut::with_capacity(connect_request::LIMIT);
        while let Ok(1..) = reader.read_buf(&mut buffer).await {
            buffer.clear();
        }
    };
    drop(timeout(PARTING, discarded).await);
    Ok(())
}

/// Keeps what the client sends before its answer; resolves when it hangs up.
async fn read_ahead<R: AsyncRead + Unpin>(reader: &mut R, received: &mut BytesMut) -> ConnectError {
    while received.len() < AHEAD {
        match reader.read_buf(received).await {
            Ok(0) => return ConnectError::Gone,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
    std::future::pending().await
}

/// Carries bytes both ways until both are done, the agent or the client is gone, or the client stands still.
async fn relay<R, W>(
    connection: &Connection,
    (mut reader, mut writer): (R, W),
    early: Bytes,
    metrics: &Metrics,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut down = std::pin::pin!(download(connection, &mut writer, metrics));
    let mut up = std::pin::pin!(upload(connection, &mut reader, early, metrics));
    let mut half_done = false;
    loop {
        tokio::select! {
            ended = &mut down, if !half_done => match ended {
                Ok(Ending::EndpointDone) => half_done = true,
                Ok(_) => return,
                Err(error) => return failed(connection, &error),
            },
            () = connection.gone(), if half_done => return,
            uploaded = &mut up => match uploaded {
                Ok(()) => break,
                Err(error) => return failed(connection, &error),
            },
        }
    }
    connection.finish();
    if half_done {
        return;
    }
    tokio::select! {
        _ended = &mut down => {}
        () = unconfirmed(connection) => {
            tracing::debug!(connection = %connection.id(), "agent did not confirm the close");
        }
    }
}

fn failed(connection: &Connection, error: &io::Error) {
    tracing::debug!(%error, connection = %connection.id(), "the client's socket failed");
    connection.fail(&format!("the frontend's socket failed: {error}"));
}

/// Resolves when the agent has not answered `CLOSE_REQ` in time.
async fn unconfirmed(connection: &Connection) {
    sleep(CLOSE).await;
    if connection.half_closes() || connection.is_ended() {
        std::future::pending::<()>().await;
    }
}

async fn upload<R: AsyncRead + Unpin>(
    connection: &Connection,
    reader: &mut R,
    early: Bytes,
    metrics: &Metrics,
) -> io::Result<()> {
    let mut size = *CHUNKS.start();
    let mut chunk = early;
    loop {
        if !chunk.is_empty() {
            metrics.packet(Segment::FromClient, PacketKind::Data);
            if connection.send(chunk).await.is_err() {
                // The agent closed; the other direction tells why.
                std::future::pending::<()>().await;
            }
        }
        chunk = read_some(reader, size).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        size = if chunk.len() == size {
            size * 2
        } else {
            chunk.len().next_power_of_two()
        }
        .clamp(*CHUNKS.start(), *CHUNKS.end());
    }
}

/// Reads up to `size` bytes; holds no buffer while nothing comes. Empty at the end.
async fn read_some<R: AsyncRead + Unpin>(reader: &mut R, size: usize) -> io::Result<Bytes> {
    poll_fn(|context| {
        let mut buffer = BytesMut::with_capacity(size);
        poll_read_buf(Pin::new(&mut *reader), context, &mut buffer)
            .map_ok(|_read| buffer.split().freeze())
    })
    .await
}

async fn download<W: AsyncWrite + Unpin>(
    connection: &Connection,
    writer: &mut W,
    metrics: &Metrics,
) -> io::Result<Ending> {
    loop {
        let mut chunk = match connection.next().await {
            Ok(chunk) => chunk,
            Err(ending) => {
                writer.shutdown().await?;
                return Ok(ending);
            }
        };
        metrics.packet(Segment::ToClient, PacketKind::Data);
        let started = Instant::now();
        while chunk.has_remaining() {
            tokio::select! {
                written = writer.write_buf(&mut chunk) => connection.took(written?),
                ending = connection.cut_off() => return Ok(ending),
            }
        }
        tokio::select! {
            flushed = writer.flush() => flushed?,
            ending = connection.cut_off() => return Ok(ending),
        }
        metrics
            .frontend_write_duration
            .observe(started.elapsed().as_secs_f64());
    }
}

fn refusal(error: HeadError) -> String {
    let body = error.to_string();
    format!(
        "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}\n",
        error.status(),
        body.len() + 1,
    )
}

/// As much of an agent's words as the status line takes.
const LONGEST_REASON: usize = 200;

/// The raw reply of the reference, but for the reason in the status line: no length, the connection ends behind it.
fn failure(error: &DialError) -> String {
    const PLAIN: &str = "Connection: close\r\nContent-Type: text/plain; charset=utf-8";
    let (status, headers, body) = match error {
        DialError::NoAgent => (
            "500 Internal Server Error",
            "Content-Type: text/plain",
            format!("currently no tunnels available: {error}"),
        ),
        DialError::Refused(text) => (status_of(text), PLAIN, text.clone()),
        DialError::AgentLost(_) => (
            "502 Bad Gateway",
            PLAIN,
            format!("Backend context error: {error}\r\n"),
        ),
        DialError::TimedOut => (
            "504 Gateway Timeout",
            PLAIN,
            format!("Backend dial timeout: {error}\r\n"),
        ),
        DialError::Cancelled | DialError::TooMany | DialError::Unavailable(_) => {
            ("503 Service Unavailable", PLAIN, error.to_string())
        }
    };
    format!(
        "HTTP/1.1 {status}: {}\r\n{headers}\r\n\r\n{body}",
        on_one_line(&error.to_string())
    )
}

/// kube-apiserver shows its users the status line and throws the body away, so the reason stands in both.
fn on_one_line(text: &str) -> String {
    let printable = |letter: char| {
        if (' '..='~').contains(&letter) {
            letter
        } else {
            ' '
        }
    };
    text.chars().take(LONGEST_REASON).map(printable).collect()
}

/// An agent says in words why it could not dial; the reference reads them the same way.
fn status_of(text: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["timeout", "deadline exceeded"]) {
        "504 Gateway Timeout"
    } else if says(&["too many open files"]) {
        "503 Service Unavailable"
    } else {
        "502 Bad Gateway"
    }
}

/// Counts a client while it is served.
struct Open<'a>(&'a Metrics);

impl<'a> Open<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.http_connections.inc();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.http_connections.dec();
    }
}

#[cfg(test)]
mod tests;
