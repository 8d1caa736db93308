//! The agent as its page `/status` shows it: servers, and what is open through them.
//!
//! In: what the agent counts anyway. Out: a [`Status`] of this moment; nothing is kept for it.

use tokio::time::Instant;

use super::metrics::Metrics;
use crate::drain::Watcher;
use crate::register::connection::millis;
use crate::status::document::{Program, Status};

/// Where to look.
#[derive(Debug)]
pub struct Inside {
    id: String,
    started: Instant,
    metrics: Metrics,
    drain: Watcher,
}

impl Inside {
    /// Of an agent of this name that starts now.
    pub fn new(id: &str, metrics: &Metrics, drain: &Watcher) -> Self {
        Self {
            id: id.to_owned(),
            started: Instant::now(),
            metrics: metrics.clone(),
            drain: drain.clone(),
        }
    }

    /// All of it.
    pub fn status(&self) -> Status {
        let servers = self.metrics.open_servers.list();
        Status {
            program: Program::Agent,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: self.id.clone(),
            uptime_ms: millis(self.started.elapsed()),
            draining: self.drain.is_draining(),
            pending_dials: None,
            known_servers: usize::try_from(self.metrics.known_servers.get()).unwrap_or(0),
            agents: Vec::new(),
            servers: servers
                .iter()
                .map(|(_, server)| server.describe("connected", Vec::new()))
                .collect(),
            connections: self.metrics.open_endpoints.describe(),
        }
    }
}
