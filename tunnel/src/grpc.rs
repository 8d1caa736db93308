//! gRPC by hand on h2: one stream in each direction, and packets on it.
//!
//! In: the halves of an h2 stream. Out: [`PacketReader`] and [`PacketWriter`], heads, statuses.
//! Nothing is compressed and there is one message type, so all of gRPC that is left is a prefix of
//! five bytes, two header fields and the trailers.
//!
//! The reader gives window back as it reads: what to do with bytes that nobody takes is decided by
//! queues above, never by the window, because the window is shared by all connections of an agent.
//! The writer asks for room only when it has something to send and sends as room comes: a Go peer
//! opens its window in small steps (tunnel.md 2.2).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};

use crate::protocol::framing;
use crate::protocol::packet::Packet;
use crate::room::poll_room;

mod status;

#[cfg(test)]
mod tests;

pub use self::status::{Code, Status};
pub use crate::protocol::framing::{Decoder, FramingError, frame};

/// What every request and response says it carries.
pub const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Why a stream of packets ended early.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// HTTP/2 or what is below it.
    #[error("HTTP/2 stream failed")]
    Http(#[from] h2::Error),
    /// What came is no gRPC, or no packet.
    #[error("the peer sent nonsense")]
    Framing(#[from] FramingError),
    /// The peer ended the call with an error.
    #[error("the peer ended the call")]
    Status(#[from] Status),
    /// The stream takes nothing more.
    #[error("the stream has ended")]
    Ended,
}

impl StreamError {
    /// gRPC's name of the error, as the reference labels its metrics.
    pub fn code(&self) -> &'static str {
        self.status().code.name()
    }

    /// What the peer is told, or has told us.
    pub fn status(&self) -> Status {
        match self {
            Self::Http(error) => Status::of_http2(error),
            Self::Framing(error) => Status::of_framing(error),
            Self::Status(status) => status.clone(),
            Self::Ended => Status::new(Code::Unavailable, "the stream has ended"),
        }
    }
}

/// Receives the packets of one direction.
#[derive(Debug)]
pub struct PacketReader<P> {
    body: RecvStream,
    decoder: Decoder<P>,
}

impl<P: Packet> PacketReader<P> {
    /// Reads the body of a request, or of a response whose head was checked.
    pub fn new(body: RecvStream) -> Self {
        Self {
            body,
            decoder: Decoder::default(),
        }
    }

    /// The next packet; `None` when the peer ended the stream in order. Safe to cancel.
    ///
    /// # Errors
    /// The stream is of no use any more.
    pub async fn next(&mut self) -> Result<Option<P>, StreamError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`PacketReader::next`], for a task that polls several things itself.
    ///
    /// # Errors
    /// The stream is of no use any more.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<P>, StreamError>> {
        loop {
            if let Some(packet) = self.decoder.next_packet()? {
                return Poll::Ready(Ok(Some(packet)));
            }
            if let Some(piece) = ready!(self.body.poll_data(cx)) {
                let piece = piece?;
                self.body.flow_control().release_capacity(piece.len())?;
                self.decoder.push(piece);
                continue;
            }
            let trailers = ready!(self.body.poll_trailers(cx))?;
            if let Some(trailers) = trailers {
                Status::of_trailers(&trailers)?;
            }
            self.decoder.finish()?;
            return Poll::Ready(Ok(None));
        }
    }
}

/// Sends packets. Dropping it resets the stream, unless it was finished.
#[derive(Debug)]
pub struct PacketWriter {
    stream: SendStream<Bytes>,
}

impl PacketWriter {
    /// Writes to a stream whose head was sent.
    pub const fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream }
    }

    /// Hands a packet to h2 as room comes. Not safe to cancel: a packet that was begun must be
    /// ended, or the stream reset.
    ///
    /// # Errors
    /// The stream is of no use any more.
    pub async fn send(&mut self, packet: impl Packet) -> Result<(), StreamError> {
        self.send_with(packet, || {}).await
    }

    /// [`PacketWriter::send`], calling `moved` each time the peer has taken something.
    ///
    /// # Errors
    /// The stream is of no use any more.
    pub async fn send_with(
        &mut self,
        packet: impl Packet,
        mut moved: impl FnMut(),
    ) -> Result<(), StreamError> {
        let mut parts = VecDeque::from(frame(packet));
        while let Some(mut part) = parts.pop_front() {
            while !part.is_empty() {
                let room = self.room(part.len()).await?;
                self.stream
                    .send_data(part.split_to(room.min(part.len())), false)?;
                moved();
            }
        }
        Ok(())
    }

    /// Room for at most `wanted` bytes, as soon as there is any.
    async fn room(&mut self, wanted: usize) -> Result<usize, StreamError> {
        let room = poll_fn(|cx| poll_room(&mut self.stream, wanted, cx));
        match room.await {
            Some(room) => Ok(room?),
            None => Err(self.ended()),
        }
    }

    /// Why the stream takes nothing more: h2 says of one that was reset only that it does not.
    fn ended(&mut self) -> StreamError {
        let reset = self.reset_by_peer().now_or_never();
        reset.unwrap_or(StreamError::Ended)
    }

    /// The server's last word.
    ///
    /// # Errors
    /// The stream has ended already.
    pub fn finish(mut self, status: &Status) -> Result<(), StreamError> {
        Ok(self.stream.send_trailers(status.trailers())?)
    }

    /// The client's last word: nothing follows.
    ///
    /// # Errors
    /// The stream has ended already.
    pub fn end(mut self) -> Result<(), StreamError> {
        Ok(self.stream.send_data(Bytes::new(), true)?)
    }

    /// Ends the stream at once; what the peer has not taken is lost.
    pub fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Resolves when the peer resets the stream.
    pub async fn reset_by_peer(&mut self) -> StreamError {
        match poll_fn(|cx| self.stream.poll_reset(cx)).await {
            Ok(reason) => StreamError::Http(reason.into()),
            Err(error) => error.into(),
        }
    }
}

/// Whether a request calls `/service/method`; else what it shall be told.
///
/// # Errors
/// The status to [`refuse`] it with.
pub fn check<B>(request: &Request<B>, service: &str, method: &str) -> Result<(), Status> {
    let is_grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(GRPC.as_bytes()));
    if request.method() != Method::POST || !is_grpc {
        return Err(Status::new(Code::Unimplemented, "only gRPC is served here"));
    }
    match request
        .uri()
        .path()
        .strip_prefix('/')
        .and_then(|path| path.split_once('/'))
    {
        Some((called, _)) if called != service => Err(Status::new(
            Code::Unimplemented,
            format!("unknown service {called}"),
        )),
        Some((_, called)) if called != method => Err(Status::new(
            Code::Unimplemented,
            format!("unknown method {called} for service {service}"),
        )),
        Some(_) => Ok(()),
        None => Err(Status::new(
            Code::Unimplemented,
            format!("malformed method name: {:?}", request.uri().path()),
        )),
    }
}

/// Answers a call with a head, at once: a Go agent waits for it without a limit.
///
/// # Errors
/// The caller is gone, or a header has characters that no header can carry.
pub fn accept(
    respond: &mut SendResponse<Bytes>,
    headers: &[(&'static str, String)],
) -> Result<SendStream<Bytes>, StreamError> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| {
            Status::new(
                Code::Internal,
                format!("{name} cannot be sent as a header: {error}"),
            )
        })?;
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    Ok(respond.send_response(response, false)?)
}

/// Answers a call with nothing but a status.
pub fn refuse(respond: &mut SendResponse<Bytes>, status: &Status) {
    let mut response = Response::new(());
    *response.headers_mut() = status.trailers();
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    if let Err(error) = respond.send_response(response, true) {
        tracing::debug!(%error, "the caller left before it was refused");
    }
}

/// Checks the head of a response; what follows may then be read.
///
/// # Errors
/// Why the server refuses the call.
pub fn accepted(status: http::StatusCode, headers: &HeaderMap) -> Result<(), Status> {
    Status::of_head(status, headers)
}

const _: () = assert!(framing::MAX_MESSAGE == 4 << 20, "the limit of grpc-go");
