//! Lets h2 serve kube-apiserver's gRPC client, whose `:authority` h2 refuses.
//!
//! kube-apiserver dials a Unix socket and its gRPC library sends the escaped path of that socket
//! as authority: `:authority: %2Fetc%2Fkubernetes%2Fkonnectivity-server%2F….socket`. h2 answers
//! such a stream with `RST_STREAM(PROTOCOL_ERROR)`. [`LegalAuthority`] sits between the socket and
//! h2: it decodes each header block, writes it again as plain literals, and puts `localhost` in
//! the place of an authority that h2 would refuse. Every other frame, and everything that we
//! write, passes untouched.
//!
//! In: the bytes of one frontend connection. Out: the same bytes, with legal header blocks.
//! Its memory is bounded: one header block of 16 KiB and one read of h2.

mod block;
mod scanner;

#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use self::block::BlockError;
pub use self::scanner::{ScanError, Scanner};

/// A byte stream whose incoming HTTP/2 header blocks always carry an authority that h2 accepts.
#[derive(Debug)]
pub struct LegalAuthority<S> {
    stream: S,
    scanner: Scanner,
    /// Scanned bytes that did not fit where they were read.
    diverted: BytesMut,
}

impl<S> LegalAuthority<S> {
    /// Wraps the server's end of a connection before its first byte was read.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            scanner: Scanner::default(),
            diverted: BytesMut::new(),
        }
    }

    /// The wrapped stream, for example to ask for its peer.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LegalAuthority<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.diverted.is_empty() {
                let n = this.diverted.len().min(buf.remaining());
                buf.put_slice(&this.diverted.split_to(n));
                return Poll::Ready(Ok(()));
            }
            let start = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let mut fresh = buf.filled().get(start..).unwrap_or_default();
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = this.scanner.pass(fresh);
            fresh.advance(kept);
            this.scanner
                .divert(fresh, &mut this.diverted)
                .map_err(io::Error::other)?;
            buf.set_filled(start + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LegalAuthority<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
