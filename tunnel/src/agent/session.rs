//! One stream to one server: packets in, packets out, and the table of its connections.
//!
//! The driver reads packets and owns the table; a second task writes; each connection is a task of
//! its own. The driver waits for nobody but the server, with one exception that is counted: when
//! the inbox of a connection that moves is full, reading stops until it has room again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Outcome, Shared};
use super::inbox::{Inbox, Pushed};
use super::metrics::TO_AGENT;
use crate::drain::Watcher;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromAgent, Packet as _, ToAgent};
use crate::telemetry::chain;

/// After the drain began, dials that crossed our DRAIN on the wire are still served.
const CROSSING: Duration = Duration::from_secs(1);

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

/// The table of one stream.
#[derive(Debug)]
pub struct Session {
    shared: Shared,
    last_id: i64,
    open: HashMap<ConnectId, Entry>,
    dials: HashMap<DialId, ConnectId>,
    tasks: JoinSet<(ConnectId, DialId, Outcome)>,
    /// When dials are no longer taken.
    refuses_from: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    inbox: Arc<Inbox>,
    cancelled: CancellationToken,
}

impl Session {
    /// No connections yet.
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            last_id: 0,
            open: HashMap::new(),
            dials: HashMap::new(),
            tasks: JoinSet::new(),
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
        let mut full: Option<Arc<Inbox>> = None;
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
                    Ok((id, dial, outcome)) => self.ended(id, dial, &outcome),
                    Err(error) => return End::Panicked(error),
                },
                () = drain.draining(), if self.refuses_from.is_none() => self.start_drain(),
                () = until(idle_at), if idle_at.is_some() => return End::Drained,
            }
        }
    }

    /// Acts on a packet; gives back the inbox the stream now has to wait for, if any.
    fn received(&mut self, packet: ToAgent) -> Option<Arc<Inbox>> {
        self.count(&packet);
        match packet {
            ToAgent::Dial {
                dial,
                protocol,
                address,
            } => self.dial(dial, protocol, address),
            ToAgent::CancelDial { dial } => self.cancel(dial),
            ToAgent::Data { id, data } => return self.data(id, data),
            ToAgent::Close { id } => self.close(id),
        }
        None
    }

    fn dial(&mut self, dial: DialId, protocol: String, address: String) {
        if self.refuses_from.is_some_and(|at| at <= Instant::now()) {
            let error = "agent is draining".to_owned();
            self.shared
                .outbox
                .answer(FromAgent::DialFailed { dial, error });
            return;
        }
        self.last_id += 1;
        let id = ConnectId(self.last_id);
        let entry = Entry {
            inbox: Arc::new(Inbox::default()),
            cancelled: CancellationToken::new(),
        };
        let connection = Connection {
            id,
            dial,
            protocol,
            address,
            inbox: Arc::clone(&entry.inbox),
            cancelled: entry.cancelled.clone(),
        };
        self.open.insert(id, entry);
        self.dials.insert(dial, id);
        let shared = self.shared.clone();
        self.tasks.spawn(async move {
            let address = connection.address.clone();
            let outcome = connection.run(shared).await;
            let cause = chain(&outcome);
            tracing::debug!(%id, address, outcome = cause, "connection over");
            (id, dial, outcome)
        });
    }

    /// Only a dial that is not answered can be given up: the server closes an answered one by id.
    fn cancel(&mut self, dial: DialId) {
        if let Some(entry) = self.dials.get(&dial).and_then(|id| self.open.get(id)) {
            entry.cancelled.cancel();
        }
    }

    fn data(&mut self, id: ConnectId, data: Bytes) -> Option<Arc<Inbox>> {
        if id.is_none() {
            return None;
        }
        let Some(entry) = self.open.get(&id) else {
            self.unknown(id, "unrecognized connectID");
            return None;
        };
        match entry.inbox.push(data, Instant::now()) {
            // A closed one ended by itself, and its CLOSE_RSP with the reason is on its way.
            Pushed::Kept | Pushed::Closed => None,
            Pushed::Full => {
                self.shared.metrics.waits.inc();
                tracing::debug!(%id, "inbox full: reading waits for its endpoint");
                Some(Arc::clone(&entry.inbox))
            }
        }
    }

    fn close(&mut self, id: ConnectId) {
        match self.open.remove(&id) {
            Some(entry) => entry.inbox.close(Instant::now()),
            None => self.unknown(id, "Unknown connectID"),
        }
    }

    fn unknown(&self, id: ConnectId, error: &str) {
        let reply = FromAgent::Closed {
            id,
            error: error.to_owned(),
        };
        if !self.shared.outbox.reply(reply) {
            tracing::debug!(%id, "too many packets for unknown connections; reply dropped");
        }
    }

    fn ended(&mut self, id: ConnectId, dial: DialId, outcome: &Outcome) {
        self.open.remove(&id);
        if self.dials.get(&dial) == Some(&id) {
            self.dials.remove(&dial);
        }
        if let Outcome::Stalled(stalled) = outcome {
            tracing::warn!(%id, %stalled, "connection closed alone");
        }
    }

    fn start_drain(&mut self) {
        tracing::info!(connections = self.tasks.len(), "draining");
        self.shared.outbox.answer(FromAgent::Drain);
        self.refuses_from = Some(Instant::now() + CROSSING);
    }

    fn count(&self, packet: &ToAgent) {
        self.shared
            .metrics
            .packets
            .with_label_values(&[packet.name(), TO_AGENT])
            .inc();
    }
}

async fn room(inbox: Option<&Inbox>) {
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
