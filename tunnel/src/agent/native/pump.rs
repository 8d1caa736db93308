//! Endpoint ⇄ stream: the two directions of one native connection, for any socket.
//!
//! [`up`] reads the endpoint first and asks for window after that, for exactly what it read: a
//! connection without traffic holds neither a buffer nor window. [`down`] takes frames as they come
//! and gives window back only for what the endpoint's socket has taken: that is what keeps a
//! connection that stands still from taking more than its own window.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::io::poll_write_buf;

use super::Traffic;
use super::waiting::Waiting;
use crate::protocol::native::{error_text, error_trailers};
use crate::relay::Reads;
use crate::room::poll_room;

/// Reads grow to this: one frame.
const LARGEST: usize = 64 * 1024;

/// Why the endpoint's direction is over.
#[derive(Debug)]
pub(super) enum UpEnd {
    /// The endpoint sends nothing more.
    Eof,
    /// Reading failed, by a reset for example.
    Failed(io::Error),
    /// The server wants nothing more.
    Cut(Cut),
}

/// Why the server's direction is over.
#[derive(Debug)]
pub(super) enum DownEnd {
    /// The server sends nothing more, and the endpoint was told.
    Eof,
    /// The server's other side broke; its words.
    Broken(String),
    /// The endpoint took nothing more; the fault says why.
    Failed,
    /// The server wants nothing more.
    Cut(Cut),
}

/// The stream is gone, both directions of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// The server reset it.
    #[error("reset by the server: {0}")]
    Reset(Reason),
    /// With all the others.
    #[error("the connection to the server is lost")]
    Lost(#[source] h2::Error),
    /// It is closed already.
    #[error("the stream is closed")]
    Closed,
}

impl From<h2::Error> for Cut {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::Reset(reason),
            _ => Self::Lost(error),
        }
    }
}

/// Carries what the endpoint sends, and its end: in order, or with what failed in trailers. A
/// `fault` of the other direction makes any end one that is not in order.
pub(super) async fn up<R>(
    socket: &mut R,
    stream: &mut SendStream<Bytes>,
    traffic: &Traffic,
    fault: &OnceLock<io::Error>,
) -> UpEnd
where
    R: AsyncRead + Unpin,
{
    let end = read(socket, stream, traffic).await;
    let said = match (&end, fault.get()) {
        (UpEnd::Cut(_), _) => return end,
        (_, Some(error)) => fail(stream, "writing to the endpoint failed", error),
        (UpEnd::Failed(error), None) => fail(stream, "reading from the endpoint failed", error),
        (UpEnd::Eof, None) => stream.send_data(Bytes::new(), true),
    };
    traffic.ends_out.inc();
    match said {
        Ok(()) => end,
        Err(error) => UpEnd::Cut(error.into()),
    }
}

fn fail(stream: &mut SendStream<Bytes>, what: &str, error: &io::Error) -> Result<(), h2::Error> {
    stream.send_trailers(error_trailers(&format!("{what}: {error}")))
}

async fn read<R>(socket: &mut R, stream: &mut SendStream<Bytes>, traffic: &Traffic) -> UpEnd
where
    R: AsyncRead + Unpin,
{
    let mut reads = Reads::up_to(LARGEST);
    loop {
        let read = poll_fn(|cx| {
            if let Poll::Ready(reset) = stream.poll_reset(cx) {
                return Poll::Ready(Err(reset.map_or_else(Cut::from, Cut::Reset)));
            }
            reads.poll(Pin::new(&mut *socket), cx).map(Ok)
        });
        let data = match read.await {
            Ok(Ok(data)) if data.is_empty() => return UpEnd::Eof,
            Ok(Ok(data)) => data,
            Ok(Err(error)) => return UpEnd::Failed(error),
            Err(cut) => return UpEnd::Cut(cut),
        };
        if let Err(cut) = send(stream, data, traffic).await {
            return UpEnd::Cut(cut);
        }
    }
}

/// Asks for window for what is there, and sends it in as many frames as the window makes of it.
async fn send(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    traffic: &Traffic,
) -> Result<(), Cut> {
    while !data.is_empty() {
        let room = poll_fn(|cx| poll_room(stream, data.len(), cx)).await;
        let Some(room) = room else {
            return Err(poll_fn(|cx| Poll::Ready(why_closed(stream.poll_reset(cx)))).await);
        };
        let part = data.split_to(room?.min(data.len()));
        stream.send_data(part, false)?;
        traffic.data_out.inc();
    }
    Ok(())
}

fn why_closed(reset: Poll<Result<Reason, h2::Error>>) -> Cut {
    match reset {
        Poll::Ready(reset) => reset.map_or_else(Cut::from, Cut::Reset),
        Poll::Pending => Cut::Closed,
    }
}

/// Carries what the server sends, and its end. An endpoint that takes nothing more is the `fault`,
/// told at once; what the server still sends is thrown away, so that it comes to its end.
pub(super) async fn down<W>(
    body: &mut RecvStream,
    socket: &mut W,
    traffic: &Traffic,
    fault: &OnceLock<io::Error>,
) -> DownEnd
where
    W: AsyncWrite + Unpin,
{
    let end = match write(body, socket, traffic, fault).await {
        Ok(()) => finish(body, socket, fault).await,
        Err(error) => DownEnd::Cut(error.into()),
    };
    traffic.ends_in.inc();
    end
}

/// Writes until the server sends nothing more. What came while the endpoint was busy goes to it in
/// one call.
async fn write<W>(
    body: &mut RecvStream,
    socket: &mut W,
    traffic: &Traffic,
    fault: &OnceLock<io::Error>,
) -> Result<(), h2::Error>
where
    W: AsyncWrite + Unpin,
{
    let mut waiting = Waiting::default();
    let mut has_ended = false;
    poll_fn(|cx| {
        loop {
            while !has_ended && let Poll::Ready(data) = body.poll_data(cx) {
                match data {
                    Some(data) => {
                        traffic.data_in.inc();
                        waiting.push(data?);
                    }
                    None => has_ended = true,
                }
            }
            if !waiting.has_remaining() {
                waiting = Waiting::default();
                return if has_ended {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Pending
                };
            }
            let mut taken = 0;
            if fault.get().is_none() {
                match ready!(poll_write_buf(Pin::new(&mut *socket), cx, &mut waiting)) {
                    Ok(0) => drop(fault.set(ErrorKind::WriteZero.into())),
                    Ok(count) => taken = count,
                    Err(error) => drop(fault.set(error)),
                }
            }
            if fault.get().is_some() {
                taken = waiting.clear();
            }
            body.flow_control().release_capacity(taken)?;
        }
    })
    .await
}

/// Tells the endpoint that nothing more comes, unless the server says that it should have.
async fn finish<W>(body: &mut RecvStream, socket: &mut W, fault: &OnceLock<io::Error>) -> DownEnd
where
    W: AsyncWrite + Unpin,
{
    match body.trailers().await {
        Ok(trailers) => {
            if let Some(text) = trailers.as_ref().and_then(error_text) {
                return DownEnd::Broken(text);
            }
        }
        Err(error) => return DownEnd::Cut(error.into()),
    }
    if fault.get().is_none()
        && let Err(error) = socket.shutdown().await
    {
        drop(fault.set(error));
    }
    match fault.get() {
        None => DownEnd::Eof,
        Some(_) => DownEnd::Failed,
    }
}
