//! Open connections to stores, shared by everything that needs one: in, a resolved store; out, a client that speaks to
//! it, or the failure that was seen a moment ago.
//!
//! A store that does not answer is not asked by every tenant of it in turn: for a short while its last failure stands
//! for all, so a black hole costs one deadline and not one for each tenant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::resolve::Resolved;
use crate::etcd::{Error, Etcd, TlsMaterial};

/// So long a failure stands for all.
const COOLING: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Entry {
    endpoints: Vec<String>,
    tls: TlsMaterial,
    outcome: Result<Etcd, (Arc<Error>, Instant)>,
}

/// Connections by name of the store.
#[derive(Debug, Default)]
pub struct Connections(Mutex<BTreeMap<String, Entry>>);

impl Connections {
    /// A connection to the store: the one that is open, or a new one.
    pub async fn open(&self, store: &Resolved) -> Result<Etcd, Arc<Error>> {
        if let Some(outcome) = self.known(store) {
            return outcome;
        }
        let outcome = Etcd::connect(&store.access.endpoints, &store.tls)
            .await
            .map_err(Arc::new);
        let entry = Entry {
            endpoints: store.access.endpoints.clone(),
            tls: store.tls.clone(),
            outcome: outcome.clone().map_err(|error| (error, Instant::now())),
        };
        self.entries().insert(store.access.name.clone(), entry);
        outcome
    }

    /// Drops what is known of a store: the next one who asks connects anew.
    pub fn forget(&self, name: &str) {
        self.entries().remove(name);
    }

    fn known(&self, store: &Resolved) -> Option<Result<Etcd, Arc<Error>>> {
        let entries = self.entries();
        let entry = entries.get(&store.access.name)?;
        if entry.endpoints != store.access.endpoints || entry.tls != store.tls {
            return None;
        }
        match &entry.outcome {
            Ok(etcd) => Some(Ok(etcd.clone())),
            Err((error, since)) if since.elapsed() < COOLING => Some(Err(Arc::clone(error))),
            Err(_) => None,
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
