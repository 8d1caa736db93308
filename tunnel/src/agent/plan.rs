//! How many servers there are, which of them this agent holds, and when to try the next one.
//!
//! Pure: events and the time come in, decisions come out. `servers.rs` carries them out.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::settings::{Pace, WhenComplete};
use crate::backoff::Backoff;

/// Which count of servers holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountSource {
    /// Leases where they are counted, else what servers say.
    Default,
    /// The larger of both.
    Max,
}

impl CountSource {
    /// Reads `--server-count-source`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "default" => Some(Self::Default),
            "max" => Some(Self::Max),
            _ => None,
        }
    }
}

/// One stream to a server among all there ever were. Two streams to the same server differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionKey(u64);

/// What to do with a stream that was just opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A server that was missing: keep it under this key.
    Keep(SessionKey),
    /// A server that is already held: close the new stream.
    Duplicate,
}

/// The plan of one agent.
#[derive(Debug)]
pub struct Plan {
    source: CountSource,
    pace: Pace,
    held: BTreeMap<String, SessionKey>,
    leaving: BTreeMap<String, SessionKey>,
    keys: u64,
    reported: usize,
    leased: Option<usize>,
    failures: Backoff,
    duplicates: Backoff,
    not_before: Instant,
}

impl Plan {
    /// Nothing is held yet, and the first try is due at once.
    pub fn new(source: CountSource, pace: Pace, now: Instant) -> Self {
        let backoff = Backoff::new(pace.interval, pace.cap);
        Self {
            source,
            pace,
            held: BTreeMap::new(),
            leaving: BTreeMap::new(),
            keys: 0,
            reported: 1,
            leased: None,
            failures: backoff.clone(),
            duplicates: backoff,
            not_before: now,
        }
    }

    /// How many servers there are, as far as is known; never less than one.
    pub fn known(&self) -> usize {
        let known = match (self.source, self.leased) {
            (_, None) => self.reported,
            (CountSource::Default, Some(leased)) => leased,
            (CountSource::Max, Some(leased)) => leased.max(self.reported),
        };
        known.max(1)
    }

    /// How many servers are held; one that is leaving is not.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// When to try the next server; `None` while none is missing.
    pub fn next_try(&self) -> Option<Instant> {
        let looks =
            self.held.len() < self.known() || self.pace.when_complete == WhenComplete::KeepLooking;
        looks.then_some(self.not_before)
    }

    /// A stream was opened to `server`, which says how many there are.
    pub fn opened(&mut self, server: &str, count: usize, now: Instant, random: f64) -> Verdict {
        self.reported = count.max(1);
        if self.held.contains_key(server) || self.leaving.contains_key(server) {
            self.not_before = now + self.duplicates.next(random);
            return Verdict::Duplicate;
        }
        self.keys += 1;
        let key = SessionKey(self.keys);
        self.held.insert(server.to_owned(), key);
        self.duplicates.reset();
        self.not_before = match self.pace.when_complete {
            WhenComplete::Rest => now,
            WhenComplete::KeepLooking => now + self.pace.interval,
        };
        Verdict::Keep(key)
    }

    /// A try led to no stream.
    pub fn failed(&mut self, now: Instant, random: f64) -> Duration {
        let delay = self.failures.next(random);
        self.not_before = now + delay;
        delay
    }

    /// A stream ended. Only the stream that is held under this name can take it off the list: a
    /// late end of an old one leaves its successor alone.
    pub fn ended(
        &mut self,
        server: &str,
        key: SessionKey,
        lived: Duration,
        (now, random): (Instant, f64),
    ) {
        if self.leaving.get(server) == Some(&key) {
            self.leaving.remove(server);
            // Its successor may be there now.
            self.look_soon(now);
        }
        if self.held.get(server) != Some(&key) {
            return;
        }
        self.held.remove(server);
        self.duplicates.reset();
        if lived < self.pace.interval {
            self.failed(now, random);
        } else {
            // Everybody who was on a lost server comes back; not all in the same instant.
            self.failures.reset();
            self.not_before = now + self.pace.interval.mul_f64(random);
        }
    }

    /// A server said anew how many there are.
    pub fn reported(&mut self, count: usize, now: Instant) {
        if self.reported != count.max(1) {
            self.reported = count.max(1);
            self.look_soon(now);
        }
    }

    /// The server of this stream takes no new dials: its place is to be filled before it goes.
    /// Until the stream ends, another one to the same server is a duplicate.
    pub fn leaving(&mut self, key: SessionKey, now: Instant, random: f64) {
        let found = self.held.iter().find(|(_, held)| **held == key);
        if let Some(server) = found.map(|(server, _)| server.clone()) {
            self.held.remove(&server);
            self.leaving.insert(server, key);
            self.duplicates.reset();
            self.not_before = now + self.pace.interval.mul_f64(random);
        }
    }

    /// The Leases were counted.
    pub fn leased(&mut self, count: Option<usize>, now: Instant) {
        if self.leased != count {
            self.leased = count;
            self.look_soon(now);
        }
    }

    fn look_soon(&mut self, now: Instant) {
        self.duplicates.reset();
        self.not_before = self.not_before.min(now + self.pace.interval);
    }
}

#[cfg(test)]
mod tests;
