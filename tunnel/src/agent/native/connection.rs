//! One native connection, straight down: CONNECT → dial → answer → both directions → outcome.
//!
//! In: a dial of a server and its stream. Out: the endpoint's bytes, and one [`Outcome`]. Each
//! direction ends for itself. An end that is not in order is told to the server in trailers, and to
//! the endpoint by a reset.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Response;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::pump::{Cut, DownEnd, UpEnd, down, up};
use super::{Shared, Traffic};
use crate::agent::dial::DialFailure;
use crate::agent::endpoint::Endpoint;
use crate::agent::metrics::Metrics;
use crate::fault::Fault;
use crate::protocol::native::dial::DialRequest;
use crate::register::connection::Open;
use crate::telemetry::chain;

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Outcome {
    /// There was no connection.
    #[error("dial failed")]
    NotDialled(#[source] DialFailure),
    /// The server gave the dial up before it was answered.
    #[error("dial cancelled by the server")]
    Cancelled,
    /// Both directions ended in order, the server's first.
    #[error("closed by the server")]
    ClosedByServer,
    /// The endpoint's direction ended first.
    #[error("closed by the endpoint")]
    ClosedByEndpoint,
    /// The other end of the tunnel broke.
    #[error("broken at the server: {0}")]
    BrokenAtServer(String),
    /// Reading from the endpoint failed.
    #[error("reading from the endpoint failed")]
    Read(#[source] io::Error),
    /// Writing to the endpoint failed.
    #[error("writing to the endpoint failed")]
    Write(#[source] io::Error),
    /// The server reset the stream or is lost.
    #[error(transparent)]
    Cut(#[from] Cut),
}

impl Outcome {
    /// Whose fault it is, if anybody's; the loss of a server is told once, with its connection.
    fn fault(&self) -> Option<Fault> {
        match self {
            Self::NotDialled(failure) => Some(failure.fault()),
            Self::Read(_) | Self::Write(_) => Some(Fault::Endpoint),
            Self::BrokenAtServer(_) => Some(Fault::Frontend),
            Self::Cancelled | Self::ClosedByServer | Self::ClosedByEndpoint | Self::Cut(_) => None,
        }
    }
}

/// A dial and the stream it came on.
#[derive(Debug)]
pub(super) struct Connection {
    /// What the server asks for.
    pub(super) dial: DialRequest,
    /// What it sends.
    pub(super) body: RecvStream,
    /// How it is answered.
    pub(super) respond: SendResponse<Bytes>,
}

impl Connection {
    /// Lives the connection. Dropping the future closes the socket and resets the stream.
    pub(super) async fn run(self, shared: Arc<Shared>) {
        let address = self.dial.destination.to_string();
        let outcome = self.outcome(&address, &shared).await;
        let reason = chain(&outcome);
        let fault = outcome.fault().map(Fault::as_str);
        if fault.is_some() {
            tracing::info!(address, reason, fault, "connection failed");
        } else {
            tracing::debug!(address, reason, "connection over");
        }
    }

    async fn outcome(mut self, address: &str, shared: &Shared) -> Outcome {
        let begun = Instant::now();
        // On the heap, because it is much larger than what stays.
        let dialling = Box::pin(shared.dialer.dial_within(address, self.dial.timeout));
        let dialled = tokio::select! {
            dialled = dialling => dialled,
            _reset = poll_fn(|cx| self.respond.poll_reset(cx)) => {
                shared.traffic.cancels.inc();
                return Outcome::Cancelled;
            }
        };
        count(&dialled, begun, &shared.metrics);
        let response = match &dialled {
            Ok(_socket) => Response::new(()),
            Err(failure) => failure.refusal().response(),
        };
        let Ok(stream) = self.respond.send_response(response, dialled.is_err()) else {
            shared.traffic.cancels.inc();
            return Outcome::Cancelled;
        };
        shared.traffic.answers.inc();
        drop(self.respond);
        match dialled {
            Ok(socket) => {
                let entry = Open::new(&shared.peer, address);
                let entry = shared.metrics.open_endpoints.enter(entry);
                relay((socket, &entry), stream, self.body, &shared.traffic).await
            }
            Err(failure) => Outcome::NotDialled(failure),
        }
    }
}

/// Counts a dial that came to its end.
fn count(dialled: &Result<TcpStream, DialFailure>, begun: Instant, metrics: &Metrics) {
    match dialled {
        Ok(_) => metrics.dial_duration.observe(begun.elapsed().as_secs_f64()),
        Err(failure) => {
            let failures = &metrics.dial_failures;
            failures.with_label_values(&[failure.reason()]).inc();
        }
    }
}

/// Carries both directions until both are over, or one broke.
async fn relay(
    (mut socket, entry): (TcpStream, &Open),
    mut stream: SendStream<Bytes>,
    mut body: RecvStream,
    traffic: &Traffic,
) -> Outcome {
    let fault = OnceLock::new();
    let outcome = carry(
        (&mut socket, entry),
        (&mut stream, &mut body),
        traffic,
        &fault,
    )
    .await;
    if matches!(outcome, Outcome::BrokenAtServer(_) | Outcome::Cut(_))
        && let Err(error) = SockRef::from(&socket).set_linger(Some(Duration::ZERO))
    {
        // The endpoint takes what it has for all there is.
        tracing::debug!(%error, "an endpoint is closed without a reset");
    }
    fault.into_inner().map_or(outcome, Outcome::Write)
}

async fn carry(
    (socket, entry): (&mut TcpStream, &Open),
    (stream, body): (&mut SendStream<Bytes>, &mut RecvStream),
    traffic: &Traffic,
    fault: &OnceLock<io::Error>,
) -> Outcome {
    let (reader, writer) = socket.split();
    let mut reader = Endpoint::new(reader, entry);
    let mut writer = Endpoint::new(writer, entry);
    let mut rising = pin!(up(&mut reader, stream, traffic, fault));
    let mut falling = pin!(down(body, &mut writer, traffic, fault));
    tokio::select! {
        end = &mut rising => match end {
            // Nothing that the server still sends gets anywhere.
            UpEnd::Eof if fault.get().is_some() => Outcome::ClosedByEndpoint,
            UpEnd::Eof => match falling.await {
                DownEnd::Eof | DownEnd::Failed => Outcome::ClosedByEndpoint,
                DownEnd::Broken(text) => Outcome::BrokenAtServer(text),
                DownEnd::Cut(cut) => cut.into(),
            },
            failed => failed.into(),
        },
        end = &mut falling => match end {
            DownEnd::Eof | DownEnd::Failed => rising.await.into(),
            DownEnd::Broken(text) => Outcome::BrokenAtServer(text),
            DownEnd::Cut(cut) => cut.into(),
        },
    }
}

impl From<UpEnd> for Outcome {
    fn from(end: UpEnd) -> Self {
        match end {
            UpEnd::Eof => Self::ClosedByServer,
            UpEnd::Failed(error) => Self::Read(error),
            UpEnd::Cut(cut) => cut.into(),
        }
    }
}
