//! An endpoint's socket that tells what passes it.
//!
//! In: one half of a socket. Out: the same half, and the numbers of its entry in the register: what
//! was read is in hand until somebody reads again, because only then was it passed on; what the
//! socket does not take is in hand until it does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::register::connection::{Direction, Open};

/// One half of a connection's socket.
#[derive(Debug)]
pub struct Endpoint<'a, S> {
    half: S,
    entry: &'a Open,
}

impl<'a, S> Endpoint<'a, S> {
    /// Tells `entry` what passes `half`.
    pub fn new(half: S, entry: &'a Open) -> Self {
        Self { half, entry }
    }

    fn wrote(&self, offered: usize, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(count)) => self.entry.passed(Direction::ToEndpoint, *count),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.entry.holds(Direction::ToEndpoint, offered),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Endpoint<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.entry.passed_all(Direction::FromEndpoint);
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.half).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        self.entry.holds(Direction::FromEndpoint, count);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Endpoint<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.half).poll_write(cx, bytes);
        self.wrote(bytes.len(), &written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.half).poll_write_vectored(cx, slices);
        self.wrote(slices.iter().map(|slice| slice.len()).sum(), &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.half.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::register::connection::Peer;

    #[tokio::test]
    async fn what_is_not_taken_is_in_hand() {
        let (ours, mut theirs) = duplex(10);
        let entry = Open::new(&Arc::new(Peer::new("s", "native")), "node:1");
        let (reader, writer) = tokio::io::split(ours);
        let mut reader = Endpoint::new(reader, &entry);
        let mut writer = Endpoint::new(writer, &entry);
        let waits = |entry: &Open| {
            let line = entry.describe(1);
            let (to, from) = (line.to_endpoint, line.from_endpoint);
            ((to.bytes, to.waiting), (from.bytes, from.waiting))
        };
        assert_eq!(writer.write(&[1; 16]).await.unwrap(), 10);
        assert!(writer.write(&[1; 6]).now_or_never().is_none());
        assert_eq!(waits(&entry), ((10, 6), (0, 0)));
        theirs.read_exact(&mut [0; 10]).await.unwrap();
        assert_eq!(writer.write(&[1; 6]).await.unwrap(), 6);
        assert_eq!(waits(&entry), ((16, 0), (0, 0)));
        theirs.write_all(b"abc").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(waits(&entry).1, (0, 3), "read, and not passed on yet");
        assert!(reader.read(&mut buffer).now_or_never().is_none());
        assert_eq!(waits(&entry).1, (3, 0));
    }
}
