//! Socket ⇄ queues: the two directions of a connection, for any socket.
//!
//! [`read`] takes what the socket has and hands it to the connection's lane; [`write()`] gives it what
//! waits in the connection's inbox, and notices when it stands still. A caller joins the two; as
//! the wire has no half-close, the end of either one ends both, after what waits was delivered.
//!
//! Memory: a buffer lives only while there is something to read. It grows from 2 to 32 KiB while
//! the socket keeps it full, and what would waste half of it is copied, so that a queue of small
//! reads does not pin large buffers. One `Bytes` from here to the other end's socket.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::protocol::packet::Packet;
use crate::queue::{Gone, Inbox, Lane, Stop};

#[cfg(test)]
mod tests;

/// Reads start this small …
const SMALLEST: usize = 2 * 1024;
/// … and grow to this.
const LARGEST: usize = 32 * 1024;

/// Why a socket gives nothing more.
#[derive(Debug)]
pub enum ReadEnd {
    /// It is at its end.
    Eof,
    /// Reading failed, by a reset for example.
    Failed(io::Error),
    /// The stream takes nothing more.
    Gone(Gone),
}

/// Why a socket takes nothing more.
#[derive(Debug)]
pub enum WriteEnd<E> {
    /// Everything was written and the socket's own end was sent, because the queue ended.
    Done(E),
    /// Writing failed.
    Failed(io::Error),
    /// It was cut off or stands still; it must be closed without a word.
    Stopped(Stop<E>),
}

/// Reads until the socket ends. Cancelling it loses what waits for its turn: the connection is over.
pub async fn read<S, P>(socket: &mut S, lane: &Lane<P>) -> ReadEnd
where
    S: AsyncRead + Unpin,
    P: Packet,
{
    let mut reads = Reads::up_to(LARGEST);
    loop {
        match poll_fn(|cx| reads.poll(Pin::new(socket), cx)).await {
            Ok(data) if data.is_empty() => return ReadEnd::Eof,
            Ok(data) => {
                if let Err(gone) = lane.send(data).await {
                    return ReadEnd::Gone(gone);
                }
            }
            Err(error) => return ReadEnd::Failed(error),
        }
    }
}

/// Writes until the inbox has ended and is empty, then ends the socket.
pub async fn write<S, E>(socket: &mut S, inbox: &Inbox<E>) -> WriteEnd<E>
where
    S: AsyncWrite + Unpin,
    E: Clone,
{
    loop {
        let mut chunk = match inbox.next().await {
            Ok(chunk) => chunk,
            Err(ending) => return finish(socket, inbox, ending).await,
        };
        while !chunk.is_empty() {
            let written = tokio::select! {
                written = socket.write(&chunk) => written,
                stop = inbox.stop() => return WriteEnd::Stopped(stop),
            };
            match written {
                Ok(0) => return WriteEnd::Failed(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    drop(chunk.split_to(count));
                    inbox.taken(count, Instant::now());
                }
                Err(error) => return WriteEnd::Failed(error),
            }
        }
        // TLS keeps the tail of what it was given.
        tokio::select! {
            flushed = socket.flush() => if let Err(error) = flushed {
                return WriteEnd::Failed(error);
            },
            stop = inbox.stop() => return WriteEnd::Stopped(stop),
        }
    }
}

async fn finish<S, E>(socket: &mut S, inbox: &Inbox<E>, ending: E) -> WriteEnd<E>
where
    S: AsyncWrite + Unpin,
    E: Clone,
{
    tokio::select! {
        ended = socket.shutdown() => match ended {
            Ok(()) => WriteEnd::Done(ending),
            Err(error) => WriteEnd::Failed(error),
        },
        stop = inbox.stop() => WriteEnd::Stopped(stop),
    }
}

/// How large the next read is.
#[derive(Debug)]
pub(crate) struct Reads {
    size: usize,
    largest: usize,
}

impl Reads {
    /// Small at first, and never more than so many bytes.
    pub(crate) const fn up_to(largest: usize) -> Self {
        Self {
            size: SMALLEST,
            largest,
        }
    }

    /// What the socket has; nothing at its end. No buffer is kept while it has nothing.
    pub(crate) fn poll<S: AsyncRead>(
        &mut self,
        socket: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        let mut buffer = BytesMut::with_capacity(self.size);
        let count = ready!(poll_read_buf(socket, cx, &mut buffer))?;
        let asked = self.size;
        self.size = match count {
            full if full >= asked => (asked * 2).min(self.largest),
            few if few * 4 < asked => (asked / 2).max(SMALLEST),
            _ => asked,
        };
        let data = if count * 2 < asked {
            Bytes::copy_from_slice(&buffer)
        } else {
            buffer.freeze()
        };
        Poll::Ready(Ok(data))
    }
}
