//! A socket that counts what it heard: any byte of a peer shows that the peer lives, and how many came shows how fast.
//!
//! In: a byte stream. Out: the same stream, and a [`Hearing`] that tells whether bytes came, and when enough of them did.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose reads are counted.
#[derive(Debug)]
pub(crate) struct Heard<S> {
    stream: S,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    bytes: AtomicU64,
    /// At so many bytes somebody wants to be woken.
    mark: AtomicU64,
    waker: AtomicWaker,
}

/// Tells whether anything was heard. The first question is about the time before it.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    counts: Arc<Counts>,
    then: u64,
}

impl<S> Heard<S> {
    pub(crate) fn new(stream: S) -> (Self, Hearing) {
        let counts = Arc::new(Counts {
            bytes: AtomicU64::new(0),
            mark: AtomicU64::new(u64::MAX),
            waker: AtomicWaker::new(),
        });
        let hearing = Hearing {
            counts: Arc::clone(&counts),
            then: 0,
        };
        (Self { stream, counts }, hearing)
    }
}

impl Hearing {
    /// Whether bytes came since the last question.
    pub(crate) fn is_new(&mut self) -> bool {
        let now = self.bytes();
        std::mem::replace(&mut self.then, now) != now
    }

    /// Bytes that came so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Ready when so many bytes have come; one task may ask.
    pub(crate) fn poll_reached(&self, mark: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.counts.waker.register(cx.waker());
        self.counts.mark.store(mark, Ordering::Relaxed);
        if self.bytes() < mark {
            return Poll::Pending;
        }
        Poll::Ready(())
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
        let count = buffer.filled().len() - before;
        let counts = &self.counts;
        let bytes = counts.bytes.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        if bytes >= counts.mark.load(Ordering::Relaxed) {
            counts.mark.store(u64::MAX, Ordering::Relaxed);
            counts.waker.wake();
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
    async fn waits_for_as_many_bytes_as_it_wants() {
        let (ours, mut theirs) = duplex(64);
        let (mut heard, hearing) = Heard::new(ours);
        let mut reached = asks(&hearing, 3);
        theirs.write_all(b"ab").await.unwrap();
        heard.read_u16().await.unwrap();
        assert!(reached().is_pending());
        theirs.write_all(b"c").await.unwrap();
        heard.read_u8().await.unwrap();
        assert!(reached().is_ready());
        assert_eq!(hearing.bytes(), 3);
    }

    fn asks(hearing: &Hearing, mark: u64) -> impl FnMut() -> Poll<()> + '_ {
        move || hearing.poll_reached(mark, &mut Context::from_waker(std::task::Waker::noop()))
    }

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
