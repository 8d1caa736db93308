//! konnectivity-agent: sits in the tenant cluster, dials out to every konnectivity-server, and opens
//! the connections they ask for.
//!
//! Read in this order: [`args`] → [`settings`] → [`plan`] (how many servers there are, which are
//! held) → [`servers`] (carries the plan out) → [`connect`] (one try) → [`link`] (one stream, of
//! either wire) → [`session`] (the reference's wire and its table) → [`connection`] (one connection)
//! → [`dial`] and [`crate::queue`] below it; [`native`] beside them.
//!
//! ```text
//!  server ══ TLS, HTTP/2, gRPC ══► transport::Packets ─► session ─► inbox ─► connection ─► socket
//!  server ◄═════════ transport::carry ◄══ outbox ◄══════════════════════════ connection ◄─ socket
//! ```

pub mod args;
pub mod connect;
pub mod connection;
pub mod dial;
pub mod endpoint;
pub mod health;
pub mod leases;
pub mod link;
pub mod metrics;
pub mod native;
pub mod plan;
pub mod proxy;
pub mod servers;
pub mod session;
pub mod settings;
pub mod status;
pub mod transport;
pub mod words;

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

pub use args::Args;
use connect::Connector;
use dial::Dialer;
use metrics::Metrics;
use plan::Plan;
use servers::Servers;
pub use settings::Settings;
use status::Inside;

use crate::drain::{self, Trigger};
use crate::{admin, descriptors};

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The system refuses what every process needs: runtimes, signals.
    #[error("the system refuses threads or signals")]
    System(#[from] io::Error),
    /// A task of ours panicked.
    #[error("a task failed inside the agent")]
    Panicked(#[from] JoinError),
}

/// Runs the agent on the data thread until a signal drained it, or a second one ends it.
pub async fn run(settings: Settings, control: Handle) -> Result<(), AgentError> {
    let descriptors = descriptors::raise_limit();
    let (trigger, _) = drain::channel();
    let signals = trigger.follow_signals()?;
    let mut listening = JoinSet::new();
    listening.spawn(signals);
    tracing::info!(
        agent = settings.agent_id,
        descriptors,
        host = settings.server.host,
        "agent started"
    );
    serve(settings, Metrics::new(), trigger, &control).await?;
    tracing::info!("agent ended");
    Ok(())
}

/// Serves servers until the drain is through. What is not about bytes runs on `control`.
pub async fn serve(
    settings: Settings,
    metrics: Metrics,
    drain: Trigger,
    control: &Handle,
) -> Result<(), AgentError> {
    let watcher = drain.watcher();
    let (counted, leased) = watch::channel(None);
    let mut beside = JoinSet::new();
    let (health, health_port) = settings.health.clone();
    let pages = health::health_pages(&metrics, &watcher);
    beside.spawn_on(
        admin::listen("health", health, pages, watcher.clone()),
        control,
    );
    let inside = Inside::new(&settings.agent_id, &metrics, &watcher);
    let pages = health::admin_pages(health_port, inside);
    let address = settings.admin.clone();
    beside.spawn_on(
        admin::listen("admin", address, pages, watcher.clone()),
        control,
    );
    if let Some(leases) = settings.leases.clone() {
        beside.spawn_on(
            leases::count(leases, metrics.leases.clone(), counted),
            control,
        );
    }
    let deadline = settings.drain_deadline;
    beside.spawn(async move { drain.force_after(deadline).await });
    let plan = Plan::new(settings.count_source, settings.pace, Instant::now());
    let dialer = Arc::new(Dialer::default());
    let connector = Connector::new(settings, Arc::clone(&dialer));
    Ok(Servers {
        connector,
        dialer,
        metrics,
        leased,
        drain: watcher,
    }
    .keep(plan)
    .await?)
}
