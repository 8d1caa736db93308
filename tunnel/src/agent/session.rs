//! One stream to one server: packets in, and for each what the table says it means.
//!
//! The driver reads packets and carries out what they mean; a second task writes; each connection is a task of
//! its own. The driver waits for nobody but the server, with one exception that is counted: when
//! the inbox of a connection that moves is full, reading stops until it has room again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::connection::{Connection, Ended, Outcome, Shared};
use super::metrics::TO_AGENT;
use crate::drain::Watcher;
use crate::fault::Fault;
use crate::protocol::budget::Limits;
use crate::protocol::id::ConnectId;
use crate::protocol::packet::{FromAgent, Packet as _, ToAgent};
use crate::protocol::table::Request;
use crate::queue::{Inbox, Pushed};
use crate::telemetry::chain;

/// After the drain began, dials that crossed our DRAIN on the wire are still served.
pub(super) const CROSSING: Duration = Duration::from_secs(1);

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum End<E: std::error::Error + 'static> {
    /// The agent drains and the last connection is gone.
    #[error("drained")]
    Drained,
    /// The server ended the stream.
    #[error("the server ended the stream")]
    ServerLeft,
    /// The stream broke.
    #[error("the stream broke")]
    Broken(#[source] E),
    /// A connection's task panicked: the table cannot be trusted any more.
    #[error("a connection failed inside the agent")]
    Panicked(#[source] JoinError),
}

impl<E: std::error::Error + 'static> End<E> {
    /// The same end, with another kind of error.
    pub fn map<F: std::error::Error + 'static>(self, into: impl FnOnce(E) -> F) -> End<F> {
        match self {
            Self::Drained => End::Drained,
            Self::ServerLeft => End::ServerLeft,
            Self::Broken(error) => End::Broken(into(error)),
            Self::Panicked(error) => End::Panicked(error),
        }
    }
}

/// One stream's connections.
#[derive(Debug)]
pub struct Session {
    shared: Shared,
    tasks: JoinSet<()>,
    /// The newest connection.
    last: ConnectId,
    /// When dials are no longer taken.
    refuses_from: Option<Instant>,
}

impl Session {
    /// No connections yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            tasks: JoinSet::new(),
            last: ConnectId::NONE,
            refuses_from: None,
        }
    }

    /// Drives the session until the stream ends or, when draining, the last connection does.
    /// Dropping it closes every connection.
    pub async fn run<E: std::error::Error + 'static>(
        mut self,
        packets: impl Stream<Item = Result<ToAgent, E>>,
        mut drain: Watcher,
    ) -> End<E> {
        let mut packets = std::pin::pin!(packets);
        let mut full: Option<Arc<Inbox<Ended>>> = None;
        loop {
            let idle_at = self.refuses_from.filter(|_| self.tasks.is_empty());
            tokio::select! {
                packet = packets.next(), if full.is_none() => match packet {
                    Some(Ok(packet)) => full = self.received(packet),
                    Some(Err(error)) => return End::Broken(error),
                    None => return End::ServerLeft,
                },
                () = room(full.as_deref()), if full.is_some() => full = None,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(()) => {}
                    Err(error) => return End::Panicked(error),
                },
                () = drain.draining(), if self.refuses_from.is_none() => self.start_drain(),
                () = until(idle_at), if idle_at.is_some() => return End::Drained,
            }
        }
    }

    /// Acts on a packet; gives back the inbox the stream now has to wait for, if any.
    fn received(&mut self, packet: ToAgent) -> Option<Arc<Inbox<Ended>>> {
        self.shared
            .metrics
            .packets
            .with_label_values(&[packet.name(), TO_AGENT])
            .inc();
        let now = Instant::now();
        if let ToAgent::Dial { dial, .. } = packet
            && self.refuses_from.is_some_and(|at| at <= now)
        {
            let error = "agent is draining".to_owned();
            self.shared
                .outbox
                .control(FromAgent::DialFailed { dial, error });
            return None;
        }
        let mint = |_| Arc::new(Inbox::new(Limits::default(), &self.shared.pool, now));
        // Bytes that crossed a CLOSE_RSP: another one would overtake what is still to be sent.
        let is_late = matches!(packet, ToAgent::Data { id, .. } if id <= self.last);
        let request = self.shared.table().receive(packet, mint);
        match request {
            Request::Dial {
                id,
                connection: inbox,
                protocol,
                address,
                ..
            } => {
                self.last = id;
                self.start(Connection {
                    id,
                    protocol,
                    address,
                    inbox,
                });
            }
            Request::Deliver {
                id,
                connection: inbox,
                data,
            } => {
                // A closed one ended by itself, and its CLOSE_RSP is on its way.
                if inbox.push(data, now) == Pushed::Full {
                    self.shared.metrics.waits.inc();
                    tracing::debug!(%id, "inbox full: reading waits for its endpoint");
                    return Some(inbox);
                }
            }
            Request::Close {
                connection: inbox, ..
            }
            | Request::GiveUp { connection: inbox } => {
                inbox.end(Ended, now);
            }
            Request::Reply(reply) => {
                if !is_late && !self.shared.outbox.reply(reply) {
                    tracing::debug!("too many packets for unknown connections; reply dropped");
                }
            }
            Request::Nothing => {}
        }
        None
    }

    fn start(&mut self, connection: Connection) {
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let (id, address) = (connection.id, connection.address.clone());
            let outcome = connection.run(shared).await;
            let reason = chain(&outcome);
            let fault = outcome.fault().map(Fault::as_str);
            if let Outcome::Stalled(_) = outcome {
                tracing::warn!(%id, address, reason, fault, "connection closed alone");
            } else if fault.is_some() {
                tracing::info!(%id, address, reason, fault, "connection failed");
            } else {
                tracing::debug!(%id, address, reason, "connection over");
            }
        });
    }

    fn start_drain(&mut self) {
        tracing::info!(connections = self.tasks.len(), "draining");
        self.shared.outbox.control(FromAgent::Drain);
        self.refuses_from = Some(Instant::now() + CROSSING);
    }
}

async fn room(inbox: Option<&Inbox<Ended>>) {
    if let Some(inbox) = inbox {
        inbox.room().await;
    }
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests;
