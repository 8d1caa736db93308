//! The other servers of the same cluster: each is connected to each, and dials through those that have the agent.
//!
//! In: names that stand for siblings, and siblings that come by. Out: backends of theirs for strategies to choose, and
//! the ids of those that live. [`plan`] decides whom to try; the loop here only carries out. Nothing here needs an API
//! server or an agent, so servers find each other before anything else works.
//!
//! ```text
//!  this server ── link: GET agents, CONNECT ──► door of a sibling ──► its own agents
//!         door ◄── link of the same sibling ──
//! ```

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::backends::Backends;
use super::doors::PeerDoor;
use super::frontend::Dialer;
use super::h2_connection::Pings;
use super::listener::{Listener, Places, accept};
use super::metrics::Metrics;
use super::settings;
use crate::backoff::jittered;
use crate::drain::Watcher;
use crate::telemetry::chain;
use crate::tls::Acceptor;

pub(crate) mod door;
mod link;
mod plan;
mod relay;

use door::Host;
use link::{LinkError, Linker, Opened};
use plan::{Plan, Verdict};

/// How soon names are resolved again while an address of theirs leads nowhere,
const RESOLVE: Duration = Duration::from_secs(5);
/// and when all is well: a server that is new comes by itself.
const RESTING: Duration = Duration::from_secs(30);
/// A name must be resolved within this.
const RESOLVED: Duration = Duration::from_secs(4);
/// A sibling that is silently gone is noticed within 10 s, by both ends.
pub(crate) const PINGS: Pings = Pings {
    every: Duration::from_secs(5),
    patience: Duration::from_secs(4),
};
/// Siblings that came by and wait to be noticed; more are noticed by their names.
const HINTS: usize = 16;

/// Where doors tell of siblings that came by.
pub(crate) type Hints = mpsc::Sender<SocketAddr>;

/// Where siblings will come in, before anybody does.
#[derive(Debug)]
pub(crate) struct Doorstep {
    settings: settings::Peers,
    listener: Listener,
    tls: Acceptor,
}

impl Doorstep {
    /// Listens already; siblings are told of the port that the listener has.
    pub(crate) fn new(mut settings: settings::Peers, listener: Listener, tls: Acceptor) -> Self {
        if let Some(address) = listener.address() {
            settings.port = address.port();
        }
        Self {
            settings,
            listener,
            tls,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.address()
    }
}

/// What is needed to find siblings, and to be found.
#[derive(Debug)]
pub(crate) struct Peers {
    doorstep: Doorstep,
    finder: Finder,
    hints: Hints,
}

/// Finds siblings.
#[derive(Debug)]
struct Finder {
    names: Vec<String>,
    linker: Linker,
    backends: Arc<Backends>,
    metrics: Metrics,
    hints: mpsc::Receiver<SocketAddr>,
    living: watch::Sender<Vec<String>>,
    /// Names that could not be resolved the last time.
    errors: Vec<String>,
}

/// What the tasks report.
enum Event {
    Resolved(Resolved),
    Tried(SocketAddr, Result<Box<Opened>, LinkError>),
    Ended(SocketAddr, String, Result<(), LinkError>),
}

/// What the names stand for.
#[derive(Debug, Default)]
struct Resolved {
    addresses: BTreeSet<SocketAddr>,
    /// Names that could not be resolved, and why.
    errors: Vec<String>,
}

/// Prepares to meet siblings, where there may be any; the ids of those that live come out at the receiver.
pub(crate) fn meet(
    doorstep: Option<Doorstep>,
    server_id: &str,
    backends: &Arc<Backends>,
    metrics: Metrics,
) -> (Option<Peers>, watch::Receiver<Vec<String>>) {
    let (living, ids) = watch::channel(Vec::new());
    let peers = doorstep.map(|doorstep| {
        let (hint, hints) = mpsc::channel(HINTS);
        let finder = Finder {
            names: doorstep.settings.names.clone(),
            linker: Linker::new(&doorstep.settings, server_id),
            backends: Arc::clone(backends),
            metrics,
            hints,
            living,
            errors: Vec::new(),
        };
        Peers {
            doorstep,
            finder,
            hints: hint,
        }
    });
    (peers, ids)
}

/// Finds siblings and serves them, for ever; what it relays goes through `dialer`. Dropping it ends all of it.
pub(crate) async fn serve(peers: Option<Peers>, dialer: &Dialer, drain: Watcher, places: Places) {
    let Some(Peers {
        doorstep,
        finder,
        hints,
    }) = peers
    else {
        return std::future::pending().await;
    };
    let host = Host {
        server_id: finder.linker.server_id().to_owned(),
        dialer: dialer.clone(),
        backends: Arc::clone(&finder.backends),
        hints,
        drain,
        metrics: finder.metrics.clone(),
    };
    let door = PeerDoor::new(doorstep.tls, host);
    tokio::select! {
        () = finder.keep() => {}
        () = accept("server", doorstep.listener, places, |socket| door.serve(socket)) => {}
    }
}

impl Finder {
    /// Keeps a connection to every sibling, for ever; dropping it ends them.
    async fn keep(mut self) {
        let mut plan = Plan::new(self.linker.server_id().to_owned());
        let mut tasks: JoinSet<Event> = JoinSet::new();
        let mut resolve_at = Some(Instant::now());
        loop {
            for address in plan.due(Instant::now()) {
                let linker = self.linker.clone();
                tasks.spawn(async move {
                    Event::Tried(address, linker.open(address).await.map(Box::new))
                });
            }
            let next = plan.next();
            tokio::select! {
                () = sleep_until(resolve_at.unwrap_or_else(Instant::now)), if resolve_at.is_some() => {
                    resolve_at = None;
                    let names = self.names.clone();
                    tasks.spawn(async move { Event::Resolved(resolve(&names).await) });
                }
                Some(address) = self.hints.recv() => plan.hinted(address, Instant::now()),
                Some(event) = tasks.join_next() => match event {
                    Ok(Event::Resolved(resolved)) => {
                        self.resolved(resolved, &mut plan);
                        let pause = if plan.is_complete() { RESTING } else { RESOLVE };
                        resolve_at = Some(Instant::now() + jittered(pause, rand::random()));
                    }
                    Ok(event) => self.heard(event, &mut plan, &mut tasks),
                    Err(error) => tracing::error!(%error, "a connection to a server failed inside this one"),
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Only when every name was resolved is an address that none stands for any more withdrawn.
    fn resolved(&mut self, resolved: Resolved, plan: &mut Plan) {
        let Resolved { addresses, errors } = resolved;
        if errors.is_empty() {
            plan.listed(&addresses, Instant::now());
        } else {
            plan.found(&addresses, Instant::now());
        }
        if errors != self.errors {
            if !errors.is_empty() {
                tracing::warn!(?errors, "--peer-dns cannot be resolved");
            }
            self.errors = errors;
        }
    }

    fn heard(&mut self, event: Event, plan: &mut Plan, tasks: &mut JoinSet<Event>) {
        let now = Instant::now();
        match event {
            Event::Resolved(resolved) => self.resolved(resolved, plan),
            Event::Tried(address, Ok(opened)) => {
                let id = opened.server_id.clone();
                if plan.opened(address, &id) == Verdict::Close {
                    tracing::debug!(%address, server = id, "this server, or one that is connected already");
                    return;
                }
                tracing::info!(%address, server = id, "connected to another server");
                let (backends, metrics) = (Arc::clone(&self.backends), self.metrics.clone());
                tasks.spawn(async move {
                    let ended = opened.live(&backends, metrics).await;
                    Event::Ended(address, id, ended)
                });
            }
            Event::Tried(address, Err(error)) => {
                let error = chain(&error);
                tracing::info!(%address, error, "cannot reach another server");
                plan.ended(address, now, rand::random());
            }
            Event::Ended(address, id, ended) => {
                let cause = ended.err().map(|error| chain(&error));
                tracing::info!(%address, server = id, cause, "another server is gone");
                plan.ended(address, now, rand::random());
            }
        }
        let living = plan.held().map(str::to_owned).collect();
        self.living.send_if_modified(|ids| {
            let is_new = *ids != living;
            *ids = living;
            is_new
        });
    }
}

/// All that the names stand for.
async fn resolve(names: &[String]) -> Resolved {
    let mut resolved = Resolved::default();
    for name in names {
        match timeout(RESOLVED, lookup_host(name)).await {
            Ok(Ok(addresses)) => resolved.addresses.extend(addresses),
            Ok(Err(error)) => resolved.errors.push(format!("{name}: {error}")),
            Err(_elapsed) => {
                let error = format!("{name}: no answer within {RESOLVED:?}");
                resolved.errors.push(error);
            }
        }
    }
    resolved
}
