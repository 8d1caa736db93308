//! A gauge that knows what it counts: everything that is open now, one by one.
//!
//! In: what opens. Out: the metric's value, and the list for whoever looks inside. Whatever ends an
//! entry drops it, so neither can go wrong by forgetting. An entry costs one insertion and one
//! removal; the lock is held for these, or for one step of a list, never while waiting.

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;

pub mod connection;
pub mod flow;
#[cfg(test)]
mod tests;

/// Entries that are listed under one lock: those who open and close wait no longer than for these.
const STEP: usize = 512;

/// What is open. Clones are the same register.
#[derive(Debug)]
pub struct Register<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    gauge: IntGauge,
    open: Mutex<Entries<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    last: u64,
    /// In order of arrival, because numbers are never used again.
    by_number: BTreeMap<u64, Arc<T>>,
}

/// One entry, for as long as it lives.
#[derive(Debug)]
pub struct Entered<T> {
    register: Register<T>,
    number: u64,
    entry: Arc<T>,
}

impl<T> Clone for Register<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Register<T> {
    /// Nothing is open; `gauge` follows.
    pub fn new(gauge: IntGauge) -> Self {
        let entries = Entries {
            last: 0,
            by_number: BTreeMap::new(),
        };
        Self {
            shared: Arc::new(Shared {
                gauge,
                open: Mutex::new(entries),
            }),
        }
    }

    /// Adds an entry for as long as what is given back lives.
    pub fn enter(&self, entry: T) -> Entered<T> {
        let entry = Arc::new(entry);
        let number = {
            let mut open = self.open();
            open.last += 1;
            let number = open.last;
            open.by_number.insert(number, Arc::clone(&entry));
            number
        };
        self.shared.gauge.inc();
        Entered {
            register: self.clone(),
            number,
            entry,
        }
    }

    /// The gauge.
    pub fn get(&self) -> i64 {
        self.shared.gauge.get()
    }

    /// What is open, the oldest first. What opens or closes meanwhile may or may not be on it.
    pub fn list(&self) -> Vec<(u64, Arc<T>)> {
        let mut list: Vec<(u64, Arc<T>)> = Vec::new();
        loop {
            let before = list.len();
            let from = list
                .last()
                .map_or(Bound::Unbounded, |(number, _)| Bound::Excluded(*number));
            list.extend(
                self.open()
                    .by_number
                    .range((from, Bound::Unbounded))
                    .take(STEP)
                    .map(|(number, entry)| (*number, Arc::clone(entry))),
            );
            if list.len() < before + STEP {
                return list;
            }
        }
    }

    /// A panic while it was held leaves it whole: every change is an insertion or a removal.
    fn open(&self) -> MutexGuard<'_, Entries<T>> {
        self.shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Entered<T> {
    /// The entry itself, which may outlive its place in the register.
    pub fn share(&self) -> Arc<T> {
        Arc::clone(&self.entry)
    }
}

impl<T> Deref for Entered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.entry
    }
}

impl<T> Drop for Entered<T> {
    fn drop(&mut self) {
        let removed = self.register.open().by_number.remove(&self.number);
        self.register.shared.gauge.dec();
        drop(removed);
    }
}
