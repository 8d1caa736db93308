//! One agent in the native mode, from its hello to its end: who it is, that it lives, what it wants.
//!
//! In: a socket on which TLS chose the mode. Out: a backend for strategies to choose while it is admitted. The agent's
//! connections are driven by their frontends; here the HTTP/2 connection is, and the control stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Streams;
use crate::fault::Fault;
use crate::h2_limits;
use crate::heard::{Heard, Hearing};
use crate::protocol::native::control::{Control, ControlError, Decoder};
use crate::protocol::native::hello::{AgentHello, HelloError, ServerHello};
use crate::protocol::native::liveness::{Due, Liveness};
use crate::server::auth::{AuthError, Pass};
use crate::server::backend::admission::{Claim, Gate, Stay};
use crate::server::backend::{Backend, Wire};
use crate::server::metrics::{PacketKind, Segment};
use crate::trips::Trips;

#[cfg(test)]
mod tests;

/// HTTP/2 and the agent's answer to the hello must be there within this.
const START: Duration = Duration::from_secs(10);
/// An agent that is refused has this long to read why.
const PARTING: Duration = Duration::from_secs(1);

/// Why an agent's connection ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// HTTP/2 failed.
    #[error("HTTP/2 failed")]
    Http(#[from] h2::Error),
    /// Nothing came.
    #[error("no answer to the hello within {START:?}")]
    Slow,
    /// The answer makes no sense.
    #[error("the agent's hello makes no sense")]
    Hello(#[from] HelloError),
    /// A control message makes no sense.
    #[error("the agent breaks the protocol")]
    Control(#[from] ControlError),
    /// The agent does not read what it is told.
    #[error("the agent does not read its control stream")]
    Deaf,
    /// The agent is gone without a word, or frozen.
    #[error("no answer to a ping within {0:?} (--native-keepalive-time)")]
    Silent(Duration),
    /// The agent left before it was admitted.
    #[error("the agent left before it was admitted")]
    Left,
    /// The agent was not let in.
    #[error("the agent is refused: {0}")]
    Refused(String),
    /// What let the agent in is good no more.
    #[error("the agent is turned out")]
    Revoked(#[source] AuthError),
}

/// Serves one agent until its connection is over.
pub(crate) async fn serve<S>(socket: S, gate: &Gate) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (socket, hearing) = Heard::new(socket);
    let builder = h2_limits::native_server_side();
    let handshake = timeout(START, builder.handshake(socket)).await;
    let (sender, mut connection) = handshake.map_err(|_elapsed| SessionError::Slow)??;
    let mut trips = Trips::new(connection.ping_pong(), hearing.clone());
    let (backend, mut control, pass) = tokio::select! {
        biased;
        ended = &mut connection => return Ok(ended?),
        admitted = admit(sender, gate) => admitted?,
    };
    // Nobody dials before the agent was told that it is admitted.
    control.send(Control::Admitted)?;
    control.send(members(gate))?;
    let stay = Stay::begin(gate, Arc::clone(&backend));
    let ended = {
        let mut attended = std::pin::pin!(control.attend(&backend, gate, hearing));
        let mut revoked = std::pin::pin!(pass.revoked());
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => break ended.map_err(SessionError::from),
                ended = &mut attended => break ended,
                reason = &mut revoked => break Err(SessionError::Revoked(reason)),
                size = trips.next(|| backend.load()) => {
                    if let Err(error) = connection.set_initial_window_size(size) {
                        break Err(error.into());
                    }
                }
            }
        }
    };
    stay.end(&ended);
    if let Err(SessionError::Revoked(reason)) = &ended {
        let reason = reason.to_string();
        tokio::select! {
            biased;
            _ = &mut connection => {}
            told = control.refuse(&reason) => drop(told),
        }
    }
    ended
}

async fn admit(
    sender: SendRequest<Bytes>,
    gate: &Gate,
) -> Result<(Arc<Backend>, ControlStream, Pass), SessionError> {
    let greeted = timeout(START, greet(sender.clone(), gate)).await;
    let (hello, mut control) = greeted.map_err(|_elapsed| SessionError::Slow)??;
    let claim = Claim {
        agent: hello.agent_id.clone(),
        identifiers: hello.identifiers().map_err(HelloError::from)?,
        authorization: hello.authorization,
    };
    let pass = match control.answer_while(gate.prove(&claim)).await? {
        Ok(pass) => pass,
        Err(error) => {
            let fault = Fault::Agent.as_str();
            tracing::warn!(agent = claim.agent, error, fault, "an agent is refused");
            control.refuse(&error).await?;
            return Err(SessionError::Refused(error));
        }
    };
    let wire = Wire::Native(Streams::new(sender, gate.metrics.clone()));
    let who = (claim.agent, claim.identifiers);
    let backend = Backend::new(who, wire, gate.metrics.clone());
    Ok((backend, control, pass))
}

/// Says who we are and hears who the agent is.
async fn greet(
    sender: SendRequest<Bytes>,
    gate: &Gate,
) -> Result<(AgentHello, ControlStream), SessionError> {
    let hello = ServerHello {
        server_id: gate.server_id.clone(),
        server_count: gate.count(),
        features: Vec::new(),
    };
    let mut sender = sender.ready().await?;
    let (answer, sending) = sender.send_request(hello.request()?, false)?;
    let response = answer.await?;
    let hello = AgentHello::read(&response)?;
    let control = ControlStream {
        sending,
        receiving: response.into_body(),
        decoder: Decoder::default(),
        live: gate.live.clone(),
        siblings: gate.siblings.clone(),
    };
    Ok((hello, control))
}

fn members(gate: &Gate) -> Control {
    Control::Members {
        count: u32::try_from(gate.count()).unwrap_or(u32::MAX),
        ids: gate.members(),
    }
}

/// The two open bodies of the hello.
struct ControlStream {
    sending: SendStream<Bytes>,
    receiving: RecvStream,
    decoder: Decoder,
    live: watch::Receiver<usize>,
    siblings: watch::Receiver<Vec<String>>,
}

impl ControlStream {
    /// Messages are few and small: where there is no room for one, nobody reads.
    fn send(&mut self, message: Control) -> Result<(), SessionError> {
        let bytes = message.encode()?;
        self.sending.reserve_capacity(bytes.len());
        if self.sending.capacity() < bytes.len() {
            return Err(SessionError::Deaf);
        }
        Ok(self.sending.send_data(bytes, false)?)
    }

    /// Answers pings while something else is waited for.
    async fn answer_while<T>(
        &mut self,
        waited: impl Future<Output = T>,
    ) -> Result<T, SessionError> {
        let mut waited = std::pin::pin!(waited);
        loop {
            tokio::select! {
                done = &mut waited => return Ok(done),
                message = next(&mut self.receiving, &mut self.decoder) => match message? {
                    Some(Control::Ping { nonce }) => self.send(Control::Pong { nonce })?,
                    Some(_) => {}
                    None => return Err(SessionError::Left),
                },
            }
        }
    }

    /// The last word to an agent that is not let in, or turned out; waits until it has gone.
    async fn refuse(&mut self, reason: &str) -> Result<(), SessionError> {
        let reason = reason.to_owned();
        self.send(Control::Refused { reason })?;
        self.sending.send_data(Bytes::new(), true)?;
        drop(
            timeout(PARTING, async {
                while let Ok(Some(_)) = self.next().await {}
            })
            .await,
        );
        Ok(())
    }

    /// Answers, asks and tells until the agent ends the stream or is dead.
    async fn attend(
        &mut self,
        backend: &Backend,
        gate: &Gate,
        mut hearing: Hearing,
    ) -> Result<(), SessionError> {
        let mut liveness = Liveness::new(gate.native_keepalive, Instant::now().into_std());
        let mut drain = gate.drain.clone();
        let mut is_leaving = false;
        loop {
            let now = Instant::now().into_std();
            if hearing.is_new() {
                liveness.heard(now);
            }
            let until = match liveness.due(now) {
                Due::Dead => return Err(SessionError::Silent(gate.native_keepalive)),
                Due::Nothing(until) => until,
                Due::Ping(nonce) => {
                    self.send(Control::Ping { nonce })?;
                    continue;
                }
            };
            tokio::select! {
                message = next(&mut self.receiving, &mut self.decoder) => match message? {
                    Some(message) => self.take(&message, &mut liveness, backend)?,
                    None => return Ok(()),
                },
                () = changed(&mut self.live) => self.send(members(gate))?,
                () = changed(&mut self.siblings) => self.send(members(gate))?,
                () = drain.draining(), if !is_leaving => {
                    // The agent looks for another server, and is still asked by whom this one serves.
                    is_leaving = true;
                    self.send(Control::Drain)?;
                }
                () = sleep_until(Instant::from_std(until)) => {}
            }
        }
    }

    fn take(
        &mut self,
        message: &Control,
        liveness: &mut Liveness,
        backend: &Backend,
    ) -> Result<(), SessionError> {
        match message {
            Control::Ping { nonce } => self.send(Control::Pong { nonce: *nonce })?,
            Control::Pong { nonce } => liveness.pong(*nonce),
            Control::Drain => {
                backend
                    .metrics
                    .packet(Segment::FromAgent, PacketKind::Drain);
                backend.drains();
            }
            Control::Admitted
            | Control::Refused { .. }
            | Control::Members { .. }
            | Control::Token(_) => {
                tracing::trace!(?message, "a control message without meaning here");
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Control>, SessionError> {
        next(&mut self.receiving, &mut self.decoder).await
    }
}

/// The agent's next message; `None` when it has ended the stream in order. Safe to cancel.
async fn next(
    receiving: &mut RecvStream,
    decoder: &mut Decoder,
) -> Result<Option<Control>, SessionError> {
    loop {
        if let Some(message) = decoder.next_message()? {
            return Ok(Some(message));
        }
        let Some(piece) = poll_fn(|cx| receiving.poll_data(cx)).await else {
            decoder.finish()?;
            return Ok(None);
        };
        let piece = piece?;
        receiving.flow_control().release_capacity(piece.len())?;
        decoder.push(&piece);
    }
}

/// Resolves when what is known of other servers has changed; never where nobody knows.
async fn changed<T>(known: &mut watch::Receiver<T>) {
    if known.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
