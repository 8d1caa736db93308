//! Where siblings come in: they hear of this server's agents, and dial through them.
//!
//! In: a socket whose certificate is of the siblings' authority. Out: words about agents as they come and go; relayed
//! connections, by agents of this server alone.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use prometheus::IntGauge;

use super::Hints;
use super::relay::relay;
use crate::drain::Watcher;
use crate::protocol::native::dial::{DialRequest, Refusal, RefusalKind};
use crate::protocol::peer::{PeerHello, RemoteAgent, Word};
use crate::room::poll_room;
use crate::server::backend::Backend;
use crate::server::backends::Backends;
use crate::server::frontend::{DialError, Dialer};
use crate::server::metrics::Metrics;
use crate::server::strategy::Standing;

/// What every sibling's connection needs. Clones share everything but where the sibling is.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Our name.
    pub(crate) server_id: String,
    /// Who dials for siblings.
    pub(crate) dialer: Dialer,
    /// Whose agents they hear of.
    pub(crate) backends: Arc<Backends>,
    /// Where it is told that a sibling came by.
    pub(crate) hints: Hints,
    /// Whether this server leaves.
    pub(crate) drain: Watcher,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

impl Host {
    /// Serves one stream of the sibling at this address.
    pub(crate) async fn stream(
        self,
        from: Option<SocketAddr>,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        if PeerHello::is_asked_by(&request) {
            self.tell(from, &request, respond).await;
        } else {
            self.relay(request, respond).await;
        }
    }

    /// Tells of agents until the sibling has heard enough.
    async fn tell(
        mut self,
        from: Option<SocketAddr>,
        request: &Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let hello = PeerHello {
            server_id: self.server_id.clone(),
            port: None,
        };
        let (asker, response) = match (PeerHello::asker(request), hello.response()) {
            (Ok(asker), Ok(response)) => (asker, response),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(?from, %error, "another server asks for agents, but not in order");
                return refuse(
                    &mut respond,
                    RefusalKind::BadDestination,
                    &error.to_string(),
                );
            }
        };
        if let (Some(from), Some(port)) = (from, asker.port)
            && asker.server_id != self.server_id
            && self
                .hints
                .try_send(SocketAddr::new(from.ip().to_canonical(), port))
                .is_err()
        {
            tracing::debug!(%from, "a server that came by is left to be found by its name");
        }
        match respond.send_response(response, false) {
            Ok(sending) => {
                if let Err(error) = self.told(sending).await {
                    tracing::debug!(server = asker.server_id, %error, "another server listens no more");
                }
            }
            Err(error) => tracing::debug!(%error, "another server left before it was answered"),
        }
    }

    async fn told(
        &mut self,
        mut sending: SendStream<Bytes>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut changes = self.backends.changes_here();
        let mut told = BTreeMap::new();
        let mut is_draining = false;
        loop {
            changes.mark_unchanged();
            let news = changes_since(&mut told, &self.backends.here());
            let drains = self.drain.is_draining();
            if drains != is_draining || news != Word::default() {
                is_draining = drains;
                let word = Word {
                    is_draining,
                    ..news
                };
                for message in word.encode()? {
                    send(&mut sending, message).await?;
                }
            }
            tokio::select! {
                is_there = changes.changed() => is_there?,
                () = self.drain.draining(), if !is_draining => {}
                reset = poll_fn(|cx| sending.poll_reset(cx)) => {
                    tracing::trace!(?reset, "another server has heard enough");
                    return Ok(());
                }
            }
        }
    }

    /// Dials for a sibling, and carries bytes until both ends are done.
    async fn relay(self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let _open = Counted::new(&self.metrics.relayed);
        let dial = match DialRequest::read(&request) {
            Ok(dial) => dial,
            Err(refusal) => return refuse(&mut respond, refusal.kind, &refusal.text),
        };
        let dialled = tokio::select! {
            dialled = self.dialer.dial_here(&dial.destination, dial.timeout) => dialled,
            reset = poll_fn(|cx| respond.poll_reset(cx)) => {
                tracing::debug!(?reset, destination = %dial.destination, "another server gave a dial up");
                return;
            }
        };
        let connection = match dialled {
            Ok(connection) => connection,
            Err(error) => return refuse(&mut respond, kind(&error), &error.to_string()),
        };
        match respond.send_response(Response::new(()), false) {
            Ok(mut sending) => relay(&connection, &mut request.into_body(), &mut sending).await,
            Err(error) => {
                tracing::debug!(%error, "another server gave a dial up as it was answered");
            }
        }
    }
}

/// What changed since `told`, which is brought up to date: agents that came, left, or began to drain.
fn changes_since(told: &mut BTreeMap<u64, Standing>, here: &[Arc<Backend>]) -> Word {
    let standing = |it: &Arc<Backend>| match it.draining_since() {
        Some(_) => Standing::Draining,
        None => Standing::Ready,
    };
    let now: BTreeMap<u64, Standing> = here
        .iter()
        .map(|it| (it.id().number(), standing(it)))
        .collect();
    let is_new = |it: &&Arc<Backend>| told.get(&it.id().number()) != Some(&standing(it));
    let came = here.iter().filter(is_new).map(|it| RemoteAgent {
        key: it.id().number(),
        agent: it.agent().to_owned(),
        identifiers: it.identifiers().clone(),
        is_draining: standing(it) == Standing::Draining,
    });
    let came = came.collect();
    let left = told.keys().filter(|key| !now.contains_key(key)).copied();
    let left = left.collect();
    *told = now;
    Word {
        came,
        left,
        is_draining: false,
    }
}

async fn send(sending: &mut SendStream<Bytes>, mut message: Bytes) -> Result<(), h2::Error> {
    while !message.is_empty() {
        let room = poll_fn(|cx| poll_room(sending, message.len(), cx)).await;
        let room = room.unwrap_or_else(|| Err(h2::Reason::CANCEL.into()))?;
        sending.send_data(message.split_to(room.min(message.len())), false)?;
    }
    Ok(())
}

/// What the sibling's frontend should take it for: the destination's failure, or a reason to ask somebody else.
fn kind(error: &DialError) -> RefusalKind {
    match error {
        DialError::Refused(_) => RefusalKind::Failed,
        DialError::NoAgent
        | DialError::TimedOut
        | DialError::Unavailable(_)
        | DialError::AgentLost(_)
        | DialError::Cancelled
        | DialError::TooMany => RefusalKind::Unavailable,
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, kind: RefusalKind, text: &str) {
    let response = Refusal::new(kind, text).response();
    if let Err(error) = respond.send_response(response, true) {
        tracing::debug!(%error, "another server gave a dial up before it was refused");
    }
}

/// One more, until it is dropped.
struct Counted<'a>(&'a IntGauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
