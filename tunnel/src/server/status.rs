//! The server as its page `/status` shows it: agents, the other servers, what is open through them.
//! In: what the server holds anyway. Out: a [`Status`] of this moment; nothing is kept for it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backend::Backend;
use super::backends::Backends;
use super::metrics::Metrics;
use super::settings::Settings;
use crate::drain::Watcher;
use crate::protocol::metadata::Identifiers;
use crate::register::connection::millis;
use crate::status::document::{Peer, Program, Status};

/// Where to look.
#[derive(Debug)]
pub(crate) struct Inside {
    id: String,
    started: Instant,
    server_count: usize,
    live: watch::Receiver<usize>,
    siblings: watch::Receiver<Vec<String>>,
    backends: Arc<Backends>,
    metrics: Metrics,
    drain: Watcher,
}

impl Inside {
    /// Of a server that starts now.
    pub(crate) fn new(
        settings: &Settings,
        (backends, metrics): (&Arc<Backends>, &Metrics),
        (live, siblings): (watch::Receiver<usize>, watch::Receiver<Vec<String>>),
        drain: Watcher,
    ) -> Self {
        Self {
            id: settings.server_id.clone(),
            started: Instant::now(),
            server_count: settings.server_count,
            live,
            siblings,
            backends: Arc::clone(backends),
            metrics: metrics.clone(),
            drain,
        }
    }

    /// Who is connected.
    pub(crate) fn backends(&self) -> Arc<Backends> {
        Arc::clone(&self.backends)
    }

    /// As agents are told: by the flag, by leases, by name.
    fn known_servers(&self) -> usize {
        let by_name = self.siblings.borrow().len() + 1;
        self.server_count.max(*self.live.borrow()).max(by_name)
    }

    /// All of it.
    pub(crate) fn status(&self) -> Status {
        Status {
            program: Program::Server,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: self.id.clone(),
            uptime_ms: millis(self.started.elapsed()),
            draining: self.drain.is_draining(),
            pending_dials: u64::try_from(self.metrics.pending_dials.get()).ok(),
            known_servers: self.known_servers(),
            agents: lines(&self.backends.here()),
            servers: lines(&self.backends.siblings()),
            connections: self.metrics.established.describe(),
        }
    }
}

fn lines(backends: &[Arc<Backend>]) -> Vec<Peer> {
    let line = |backend: &Arc<Backend>| {
        let standing = backend.candidate().standing;
        let identifiers = words(backend.identifiers());
        backend.peer().describe(standing.as_str(), identifiers)
    };
    backends.iter().map(line).collect()
}

/// Identifiers as `--agent-identifiers` has them, one by one.
fn words(identifiers: &Identifiers) -> Vec<String> {
    let Identifiers {
        ipv4,
        ipv6,
        host,
        cidr,
        default_route,
    } = identifiers;
    let named = [
        ("ipv4", ipv4),
        ("ipv6", ipv6),
        ("host", host),
        ("cidr", cidr),
    ];
    let mut words: Vec<String> = named
        .into_iter()
        .flat_map(|(key, values)| values.iter().map(move |value| format!("{key}={value}")))
        .collect();
    if *default_route {
        words.push("default-route=true".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_shown_as_they_are_given() {
        let text = "host=node1&ipv4=10.0.0.1&ipv4=10.0.0.2&default-route=true&cidr=10.0.0.0/8";
        let identifiers = Identifiers::parse(text).expect("legal");
        assert_eq!(
            words(&identifiers),
            [
                "ipv4=10.0.0.1",
                "ipv4=10.0.0.2",
                "host=node1",
                "cidr=10.0.0.0/8",
                "default-route=true"
            ]
        );
        assert!(words(&Identifiers::default()).is_empty());
    }
}
