//! A socket that counts what it heard: any byte of a peer shows that the peer lives.
//!
//! In: a byte stream. Out: the same stream, and a [`Hearing`] that tells whether bytes came.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose reads are counted.
#[derive(Debug)]
pub(super) struct Heard<S> {
    stream: S,
    reads: Arc<AtomicU64>,
}

/// Tells whether anything was heard. The first question is about the time before it.
#[derive(Debug)]
pub(super) struct Hearing {
    reads: Arc<AtomicU64>,
    then: u64,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S) -> (Self, Hearing) {
        let reads = Arc::new(AtomicU64::new(0));
        let hearing = Hearing {
            reads: Arc::clone(&reads),
            then: 0,
        };
        (Self { stream, reads }, hearing)
    }
}

impl Hearing {
    /// Whether bytes came since the last question.
    pub(super) fn is_new(&mut self) -> bool {
        let now = self.reads.load(Ordering::Relaxed);
        std::mem::replace(&mut self.then, now) != now
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn only_bytes_that_came_count() {
        let (ours, mut theirs) = duplex(64);
        let (mut heard, mut hearing) = Heard::new(ours);
        heard.write_all(b"hello").await.unwrap();
        assert!(!hearing.is_new(), "what was written is not heard");
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(heard.read_u8().await.unwrap(), b'x');
        assert!(hearing.is_new());
        assert!(!hearing.is_new());
        drop(theirs);
        assert_eq!(heard.read(&mut [0; 4]).await.unwrap(), 0);
        assert!(!hearing.is_new(), "the end is not heard either");
    }
}
