//! konnectivity-server: kube-apiserver on one side, agents on the other, bytes in between.
//!
//! [`Server::bind`] opens everything that can fail, [`Server::run`] serves until it is drained. Bytes move on the
//! caller's thread; health, metrics, token reviews and leases live on the control runtime.
//!
//! Leaving in order: first it says that it is not ready and withdraws its lease; listeners and agents stay, so what
//! is open goes on and what kube-apiserver still needs is still dialled; as soon as no connection is left, or the
//! grace period is over, it ends. Agents see their streams end, never a GOAWAY while they are needed.

pub mod args;
mod auth;
mod backend;
mod backends;
mod background;
mod doors;
#[cfg(test)]
mod fake_api;
mod frontend;
mod h2_connection;
mod leases;
mod listener;
mod metrics;
mod peers;
pub mod settings;
mod status;
pub mod strategy;
pub mod unix_socket;

pub use frontend::connect_request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::interval;

use crate::descriptors::raise_limit;
use crate::drain::Trigger;
use crate::metrics::Registry;
use crate::protocol::budget;
use crate::protocol::native::{self, mode::TunnelMode};
use crate::protocol::peer;
use crate::tls::{Acceptor, Policy, TlsError};

use auth::{KeyFile, KeyFileError};
use backend::admission::Gate;
use backends::Backends;
use background::Background;
use doors::{AgentDoor, FrontendDoor};
use frontend::Dialer;
use listener::{Listener, Places, accept};
use metrics::Metrics;
use peers::Doorstep;
use settings::{Mode, Place, Settings, TlsFiles};
use status::Inside;
use unix_socket::{SocketFile, UnixSocketError};

/// Descriptors that clients leave to everything else.
const SPARE: usize = 64;
/// Connections of other servers: one of each, and one that takes its place.
const PEERS: usize = 64;
/// How often a draining server looks whether it is empty.
const EMPTY: Duration = Duration::from_millis(100);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The Unix socket cannot be opened.
    #[error("frontend does not listen")]
    UnixSocket(#[from] UnixSocketError),
    /// A TCP port cannot be opened.
    #[error("cannot listen on {address} for {whom}")]
    Listen {
        /// Who would connect.
        whom: &'static str,
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A runtime or a signal handler cannot be had.
    #[error("the system refuses what every program needs")]
    System(#[from] io::Error),
    /// A second signal came before the drain was over.
    #[error("a second signal ended the drain")]
    Forced,
    /// The service-account keys cannot be used.
    #[error("agents' tokens cannot be checked")]
    Keys(#[from] KeyFileError),
    /// TLS material cannot be used.
    #[error("TLS for {whom} cannot be set up")]
    Tls {
        /// Who would connect.
        whom: &'static str,
        /// What is wrong.
        source: Box<TlsError>,
    },
}

/// Serves until a signal drains it; a second signal is an error.
pub async fn run(settings: Settings, control: Handle) -> Result<(), ServerError> {
    let (trigger, _) = crate::drain::channel();
    let signals = trigger.follow_signals()?;
    let server = Server::bind(settings).await?;
    tokio::select! {
        () = server.run(&control, &trigger) => Ok(()),
        () = signals => Err(ServerError::Forced),
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    registry: Registry,
    metrics: Metrics,
    agents: Listener,
    agent_tls: Acceptor,
    keys: Option<KeyFile>,
    peers: Option<Doorstep>,
    frontend: Listener,
    frontend_tls: Option<Acceptor>,
    socket_file: Option<SocketFile>,
}

impl Server {
    /// Opens every listener that the settings name.
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        let (frontend, frontend_tls, socket_file) = match &settings.frontend.place {
            Place::Unix { path, leftover } => {
                let (listener, file) = unix_socket::listen(path, *leftover)?;
                (Listener::Unix(listener), None, Some(file))
            }
            Place::Tcp { address, tls } => {
                let alpn: &[&[u8]] = match settings.frontend.mode {
                    Mode::Grpc => &[b"h2"],
                    Mode::HttpConnect => &[b"http/1.1"],
                };
                let tls = acceptor("frontends", tls, alpn)?;
                (listen("frontends", address).await?, Some(tls), None)
            }
        };
        let agent_tls = acceptor(
            "agents",
            &settings.agents.tls,
            agent_protocols(settings.agents.mode),
        )?;
        let agents = listen("agents", &settings.agents.address).await?;
        let key = settings
            .agents
            .token
            .as_ref()
            .and_then(|rule| rule.key.as_ref());
        let keys = key.map(|key| KeyFile::open(&key.file)).transpose()?;
        let peers = match &settings.peers {
            None => None,
            Some(peers) => {
                let tls = acceptor("other servers", &peers.tls, &[peer::ALPN])?;
                let listener = listen("other servers", &peers.address).await?;
                Some(Doorstep::new(peers.clone(), listener, tls))
            }
        };
        let registry = Registry::new(metrics::PREFIX);
        let metrics = Metrics::new(&registry);
        Ok(Self {
            settings,
            registry,
            metrics,
            agents,
            agent_tls,
            keys,
            peers,
            frontend,
            frontend_tls,
            socket_file,
        })
    }

    /// What is counted.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where agents connect.
    pub fn agent_address(&self) -> Option<SocketAddr> {
        self.agents.address()
    }

    /// Where frontends connect, if by TCP.
    pub fn frontend_address(&self) -> Option<SocketAddr> {
        self.frontend.address()
    }

    /// Where the other servers connect, if they may.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peers.as_ref().and_then(Doorstep::address)
    }

    /// Serves until `trigger` starts the drain and the last frontend is gone, or it is forced.
    pub async fn run(self, control: &Handle, trigger: &Trigger) {
        let Self {
            settings,
            registry,
            metrics,
            agents,
            agent_tls,
            keys,
            peers,
            frontend,
            frontend_tls,
            socket_file,
        } = self;
        let backends = Arc::new(Backends::new(settings.strategies.clone(), metrics.clone()));
        let mut background = Background::new(control.clone(), trigger.watcher(), metrics.clone());
        let live = background.keep_lease(&settings);
        let (siblings, living) =
            peers::meet(peers, &settings.server_id, &backends, metrics.clone());
        let known = (live.clone(), living.clone());
        let inside = Inside::new(&settings, (&backends, &metrics), known, trigger.watcher());
        background.serve_pages(&settings, &registry, inside);
        let gate = Gate {
            server_id: settings.server_id.clone(),
            server_count: settings.server_count,
            live,
            siblings: living,
            proof: background.proof(&settings, keys),
            backends: Arc::clone(&backends),
            limits: budget(&settings.limits),
            native_keepalive: settings.agents.native_keepalive,
            drain: trigger.watcher(),
            metrics: metrics.clone(),
        };
        let dialer = Dialer::new(Arc::clone(&backends), &settings.limits, metrics.clone());
        let agent_door = AgentDoor::new(agent_tls, gate, &settings.agents);
        let frontend_door = FrontendDoor::new(
            &settings.frontend,
            frontend_tls,
            dialer.clone(),
            metrics.clone(),
        );
        let all = Arc::new(Semaphore::new(raise_limit().saturating_sub(SPARE)));
        let for_agents = Places::new(settings.limits.agents, &all);
        let for_frontends = Places::new(settings.limits.connections, &all);
        let for_peers = Places::new(PEERS, &all);
        tokio::select! {
            () = accept("agent", agents, for_agents, |socket| agent_door.serve(socket)) => {}
            () = accept("frontend", frontend, for_frontends, |socket| frontend_door.serve(socket)) => {}
            () = peers::serve(siblings, &dialer, trigger.watcher(), for_peers) => {}
            () = drained(trigger, settings.graceful_shutdown_timeout, &metrics) => {}
        }
        drop(socket_file);
        background.end().await;
        trigger.force();
    }
}

/// Resolves when a drain has begun and nobody needs the server any more, or the patience with them is over.
async fn drained(trigger: &Trigger, grace: Duration, metrics: &Metrics) {
    let mut watcher = trigger.watcher();
    watcher.draining().await;
    if grace.is_zero() {
        tracing::info!("ending at once: --graceful-shutdown-timeout is 0");
        return;
    }
    tracing::info!(frontends = metrics.frontends(), "draining");
    tokio::select! {
        () = empty(metrics) => tracing::info!("drained: no frontend is left"),
        () = trigger.force_after(grace) => {
            tracing::warn!(frontends = metrics.frontends(), "ending with frontends connected");
        }
    }
}

async fn empty(metrics: &Metrics) {
    let mut tick = interval(EMPTY);
    while metrics.frontends() > 0 {
        tick.tick().await;
    }
}

async fn listen(whom: &'static str, address: &str) -> Result<Listener, ServerError> {
    let failed = |source| ServerError::Listen {
        whom,
        address: address.to_owned(),
        source,
    };
    Listener::tcp(address).await.map_err(failed)
}

/// What agents may choose from, the best first.
fn agent_protocols(mode: TunnelMode) -> &'static [&'static [u8]] {
    match mode {
        TunnelMode::Auto => &[native::ALPN, b"h2"],
        TunnelMode::Legacy => &[b"h2"],
        TunnelMode::Native => &[native::ALPN],
    }
}

/// What may wait for one frontend, and for how long.
fn budget(limits: &settings::Limits) -> budget::Limits {
    budget::Limits {
        hard: limits.connection_buffer,
        soft_patience: limits.stall,
        ..budget::Limits::default()
    }
}

fn acceptor(whom: &'static str, files: &TlsFiles, alpn: &[&[u8]]) -> Result<Acceptor, ServerError> {
    let policy = Policy::from_flags(&files.cipher_suites, &files.min_version);
    Acceptor::new(&files.cert, &files.key, files.client_ca.as_deref(), alpn)
        .and_then(|acceptor| acceptor.restricted(policy))
        .map_err(|source| ServerError::Tls {
            whom,
            source: Box::new(source),
        })
}
