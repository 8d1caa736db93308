//! One stream to a server of ours in the native mode: reverse HTTP/2, a stream for each connection.
//!
//! In: a connection whose TLS chose [`crate::protocol::native::ALPN`]. Out: an [`Opened`] once the
//! server let this agent in, then its whole life. The roles are swapped: the server opens streams,
//! the agent answers them. Every connection has windows of its own, so one that stands still stops
//! nobody else, and nothing here queues bytes.
//!
//! ```text
//!  server ══ HTTP/2 ══► session ─► connection ─► dial ─► socket      a task for each connection
//!                          │            ╰── pump: stream ⇄ socket
//!                          ╰── control: pings, drain, members        the first stream
//! ```

mod connection;
mod control;
mod pump;
mod session;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use self::control::{ControlStream, Event};
pub use self::session::Session;
use super::dial::Dialer;
use super::metrics::{FROM_AGENT, Metrics, TO_AGENT};
use crate::h2_limits;
use crate::heard::{Heard, Hearing};
use crate::protocol::native::control::ControlError;
use crate::protocol::native::dial::{Refusal, RefusalKind};
use crate::protocol::native::hello::{AgentHello, HelloError, ServerHello};
use crate::protocol::native::{ERROR, error_value};
use crate::register::connection::Peer;
use crate::trips::Trips;

/// Dials that may be seen before the word that lets this agent in: HTTP/2 orders nothing between
/// two streams.
const EARLY: usize = 1024;

/// What still waits for the server at an end in order gets this long to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a native connection ended, or was none.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// HTTP/2 or below.
    #[error("the HTTP/2 connection failed")]
    Http(#[from] h2::Error),
    /// The server did not say who it is.
    #[error("the server's hello cannot be used")]
    Hello(#[from] HelloError),
    /// The control stream makes no sense.
    #[error("the control stream failed")]
    Control(#[from] ControlError),
    /// The server is silent.
    #[error("nothing was heard of the server for {0:?} behind a ping")]
    Silent(Duration),
    /// The server will not have this agent.
    #[error("{0}")]
    Refused(String),
    /// The server ended the connection in order.
    #[error("the server ended the connection")]
    Ended,
}

/// A connection on which the server let this agent in.
#[derive(Debug)]
pub struct Opened<S> {
    /// Who the server is.
    pub server: String,
    /// How many servers it says there are.
    pub count: usize,
    connection: Connection<Heard<S>, Bytes>,
    control: ControlStream,
    trips: Trips,
    early: Vec<Stream>,
}

impl<S> Opened<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Says goodbye, so that the server does not take it for a loss; dials that crossed it are refused with `reason`.
    ///
    /// # Errors
    /// The connection was lost already.
    pub async fn part(self, reason: &str) -> Result<(), NativeError> {
        let Self {
            mut connection,
            control,
            early,
            ..
        } = self;
        control.end()?;
        for (_request, mut respond) in early {
            refuse(&mut respond, RefusalKind::Unavailable, reason);
        }
        connection.graceful_shutdown();
        let farewell = async {
            while let Ok((_request, mut respond)) = next_stream(&mut connection).await {
                refuse(&mut respond, RefusalKind::Unavailable, reason);
            }
        };
        let in_time = tokio::time::timeout(LAST_WORDS, farewell).await.is_ok();
        tracing::debug!(in_time, "said goodbye");
        Ok(())
    }
}

/// What all connections of a session share.
#[derive(Debug)]
pub struct Shared {
    dialer: Arc<Dialer>,
    metrics: Metrics,
    traffic: Traffic,
    peer: Arc<Peer>,
}

impl Shared {
    /// Dials with `dialer` for the server `peer` and counts on `metrics`.
    pub fn new(dialer: Arc<Dialer>, metrics: Metrics, peer: Arc<Peer>) -> Self {
        Self {
            dialer,
            traffic: Traffic::new(&metrics),
            metrics,
            peer,
        }
    }
}

/// Counts the native mode in the reference's words.
#[derive(Debug)]
struct Traffic {
    dials: prometheus::IntCounter,
    cancels: prometheus::IntCounter,
    answers: prometheus::IntCounter,
    data_in: prometheus::IntCounter,
    data_out: prometheus::IntCounter,
    ends_in: prometheus::IntCounter,
    ends_out: prometheus::IntCounter,
    drains: prometheus::IntCounter,
}

impl Traffic {
    fn new(metrics: &Metrics) -> Self {
        let packets = |name, segment| metrics.packets.with_label_values(&[name, segment]);
        Self {
            dials: packets("DIAL_REQ", TO_AGENT),
            cancels: packets("DIAL_CLS", TO_AGENT),
            answers: packets("DIAL_RSP", FROM_AGENT),
            data_in: packets("DATA", TO_AGENT),
            data_out: packets("DATA", FROM_AGENT),
            ends_in: packets("CLOSE_REQ", TO_AGENT),
            ends_out: packets("CLOSE_RSP", FROM_AGENT),
            drains: packets("DRAIN", FROM_AGENT),
        }
    }
}

/// Answers the server's hello and waits until it lets this agent in. The caller sets the deadline.
///
/// # Errors
/// Every [`NativeError`].
pub async fn open<S>(
    stream: S,
    hello: &AgentHello,
    keepalive: Duration,
) -> Result<Opened<S>, NativeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (stream, hearing) = Heard::new(stream);
    let handshake = h2_limits::native_agent_side().handshake(stream);
    let mut connection: Connection<Heard<S>, Bytes> = handshake.await?;
    let trips = Trips::new(connection.ping_pong(), hearing.clone());
    let (request, respond) = next_stream(&mut connection).await?;
    let (said, mut control) = match greet(request, respond, hello, (keepalive, hearing)) {
        Ok(greeted) => greeted,
        Err(error) => {
            // The words why are on their way; the server hangs up once it has them.
            connection.graceful_shutdown();
            while connection.accept().await.is_some_and(|next| next.is_ok()) {}
            return Err(error);
        }
    };
    let mut early = Vec::new();
    loop {
        tokio::select! {
            event = control.next() => match event? {
                Event::Admitted => break,
                Event::Refused(reason) => return Err(NativeError::Refused(reason)),
                Event::Ended => return Err(NativeError::Ended),
                Event::Drain | Event::Members(_) => {}
            },
            stream = next_stream(&mut connection) => {
                let (request, mut respond) = stream?;
                if early.len() < EARLY {
                    early.push((request, respond));
                } else {
                    refuse(&mut respond, RefusalKind::Unavailable, "agent is not admitted yet");
                }
            }
        }
    }
    Ok(Opened {
        server: said.server_id,
        count: said.server_count,
        connection,
        control,
        trips,
        early,
    })
}

/// Reads the server's hello and answers it; both bodies become the control stream.
fn greet(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    hello: &AgentHello,
    (keepalive, hearing): (Duration, Hearing),
) -> Result<(ServerHello, ControlStream), NativeError> {
    let answered = ServerHello::read(&request).and_then(|said| Ok((said, hello.response()?)));
    let (said, response) = match answered {
        Ok(answered) => answered,
        Err(error) => {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            let text = error_value(&error.to_string());
            response.headers_mut().insert(ERROR, text);
            respond.send_response(response, true)?;
            return Err(error.into());
        }
    };
    let sending = respond.send_response(response, false)?;
    let body = request.into_body();
    let control = ControlStream::new(body, sending, keepalive, hearing);
    Ok((said, control))
}

type Stream = (Request<RecvStream>, SendResponse<Bytes>);

/// The next stream of the server; drives the connection meanwhile.
async fn next_stream<S>(connection: &mut Connection<Heard<S>, Bytes>) -> Result<Stream, NativeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepted = connection.accept().await;
    Ok(accepted.ok_or(NativeError::Ended)??)
}

/// Answers a stream that leads nowhere. A server that is gone needs no answer.
fn refuse(respond: &mut SendResponse<Bytes>, kind: RefusalKind, text: &str) {
    let response = Refusal::new(kind, text).response();
    if let Err(error) = respond.send_response(response, true) {
        tracing::debug!(%error, "a dial was given up before it was refused");
    }
}
