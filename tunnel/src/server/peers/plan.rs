//! Which addresses are siblings, which of them are connected, and when the next one is tried.
//!
//! Pure: what DNS says, what siblings say, and the time come in; addresses to try come out. `peers.rs` carries it out.
//! A server has one connection however many addresses it has, and none to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// The first try after a failure comes this much later.
const FIRST: Duration = Duration::from_millis(500);
/// The time between two tries of the same address grows up to this.
const CAP: Duration = Duration::from_secs(10);
/// An address that no name stands for is forgotten after so many tries in vain.
const PATIENCE: u32 = 5;
/// Addresses that are kept in mind; a name with more records is a mistake.
const MOST: usize = 256;

/// What to do with a connection that was just opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A sibling that was missing.
    Keep,
    /// This server, or a sibling that is connected already: close it.
    Close,
}

/// The siblings of one server.
#[derive(Debug)]
pub(crate) struct Plan {
    own: String,
    known: BTreeMap<SocketAddr, Address>,
}

#[derive(Debug)]
struct Address {
    /// Whether a name stands for it; else a sibling came from there.
    is_listed: bool,
    state: State,
    backoff: Backoff,
    failures: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// To be tried, not before this.
    Waiting(Instant),
    /// Being tried.
    Trying,
    /// The connection to this server.
    Held(String),
    /// Another address of a server that is held.
    Spare(String),
    /// This server itself.
    Own,
}

impl Plan {
    /// For the server of this id.
    pub(crate) fn new(own: String) -> Self {
        Self {
            own,
            known: BTreeMap::new(),
        }
    }

    /// The names stand for these addresses now.
    pub(crate) fn listed(&mut self, addresses: &BTreeSet<SocketAddr>, now: Instant) {
        self.known.retain(|address, it| {
            it.is_listed = addresses.contains(address);
            it.is_listed || !matches!(it.state, State::Spare(_) | State::Own)
        });
        self.found(addresses, now);
    }

    /// Some names stand for these addresses, and others could not be resolved.
    pub(crate) fn found(&mut self, addresses: &BTreeSet<SocketAddr>, now: Instant) {
        for address in addresses {
            if let Some(it) = self.learn(*address, now) {
                it.is_listed = true;
            }
        }
    }

    /// Whether every address that is known leads to a server that is held, or to this one.
    pub(crate) fn is_complete(&self) -> bool {
        !self.known.is_empty() && self.known.values().all(Address::is_settled)
    }

    /// A sibling came from there, and says that it listens.
    pub(crate) fn hinted(&mut self, address: SocketAddr, now: Instant) {
        // Whoever comes from there lives: no need to wait out a failure of the past.
        if let Some(it) = self.learn(address, now) {
            it.hurry(now);
        }
    }

    /// What must be tried now; it counts as being tried.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<SocketAddr> {
        let due = self.known.iter_mut().filter(|(_, it)| it.is_due(now));
        due.map(|(address, it)| {
            it.state = State::Trying;
            *address
        })
        .collect()
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let waiting = self.known.values().filter_map(|it| match it.state {
            State::Waiting(until) => Some(until),
            State::Trying | State::Held(_) | State::Spare(_) | State::Own => None,
        });
        waiting.min()
    }

    /// The server at this address says who it is.
    pub(crate) fn opened(&mut self, address: SocketAddr, id: &str) -> Verdict {
        let is_held = self.held().any(|held| held == id);
        let Some(it) = self.known.get_mut(&address) else {
            return Verdict::Close;
        };
        it.failures = 0;
        it.backoff.reset();
        let id = id.to_owned();
        let (state, verdict) = if id == self.own {
            (State::Own, Verdict::Close)
        } else if is_held {
            (State::Spare(id), Verdict::Close)
        } else {
            (State::Held(id), Verdict::Keep)
        };
        it.state = state;
        verdict
    }

    /// A try, or the connection it led to, is over. Spare addresses of that server are due at once.
    pub(crate) fn ended(&mut self, address: SocketAddr, now: Instant, random: f64) {
        let Some(it) = self.known.get_mut(&address) else {
            return;
        };
        it.failures += 1;
        let is_forgotten = !it.is_listed && it.failures >= PATIENCE;
        let until = now + it.backoff.next(random);
        let was = std::mem::replace(&mut it.state, State::Waiting(until));
        if is_forgotten {
            self.known.remove(&address);
        }
        if let State::Held(id) = was {
            for it in self.known.values_mut() {
                if it.state == State::Spare(id.clone()) {
                    it.state = State::Waiting(now);
                }
            }
        }
    }

    /// The servers that are connected.
    pub(crate) fn held(&self) -> impl Iterator<Item = &str> {
        self.known.values().filter_map(|it| match &it.state {
            State::Held(id) => Some(id.as_str()),
            State::Waiting(_) | State::Trying | State::Spare(_) | State::Own => None,
        })
    }

    fn learn(&mut self, address: SocketAddr, now: Instant) -> Option<&mut Address> {
        if self.known.len() >= MOST && !self.known.contains_key(&address) {
            return None;
        }
        Some(self.known.entry(address).or_insert_with(|| Address {
            is_listed: false,
            state: State::Waiting(now),
            backoff: Backoff::new(FIRST, CAP),
            failures: 0,
        }))
    }
}

impl Address {
    fn is_settled(&self) -> bool {
        matches!(self.state, State::Held(_) | State::Spare(_) | State::Own)
    }

    fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Waiting(until) if until <= now)
    }

    fn hurry(&mut self, now: Instant) {
        if matches!(self.state, State::Waiting(_)) {
            self.state = State::Waiting(now);
            self.backoff.reset();
        }
    }
}

#[cfg(test)]
mod tests;
