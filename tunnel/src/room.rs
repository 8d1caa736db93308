//! Room on an HTTP/2 stream: in, a stream and what is to be sent; out, how much of it may go now.
//!
//! Asked for only when the bytes are there: streams that ask ahead would hoard the window of the connection.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

/// Room for at most `wanted` bytes as soon as there is any, never none: a window may shrink as it is given. `None` when
/// the stream is closed.
pub(crate) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<usize, h2::Error>>> {
    stream.reserve_capacity(wanted);
    loop {
        let room = stream.capacity();
        if room > 0 {
            return Poll::Ready(Some(Ok(room)));
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            closed => return Poll::Ready(closed),
        }
    }
}
