//! Who is connected. In: agents as they come and go. Out: the one that serves a destination, and readiness.
//! The list is in order of arrival; a [`Membership`] removes its backend when dropped, whatever ended it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backend::{Backend, BackendId};
use super::metrics::Metrics;
use super::strategy::{self, Candidate, Strategy};

/// The agents of this server.
#[derive(Debug)]
pub(crate) struct Backends {
    strategies: Vec<Strategy>,
    list: Mutex<Vec<Arc<Backend>>>,
    metrics: Metrics,
}

impl Backends {
    /// Nobody yet.
    pub(crate) fn new(strategies: Vec<Strategy>, metrics: Metrics) -> Self {
        Self {
            strategies,
            list: Mutex::default(),
            metrics,
        }
    }

    /// The backend that serves `host`, leaving out those that were tried already.
    pub(crate) fn pick(&self, host: &str, tried: &[BackendId]) -> Option<Arc<Backend>> {
        let list = self.list();
        let fresh: Vec<&Arc<Backend>> = list
            .iter()
            .filter(|backend| !tried.contains(&backend.id()))
            .collect();
        let candidates: Vec<Candidate<'_>> =
            fresh.iter().map(|backend| backend.candidate()).collect();
        let at = strategy::pick(
            &self.strategies,
            &candidates,
            host,
            rand::random::<u32>() as usize,
        )?;
        fresh.get(at).map(|backend| Arc::clone(backend))
    }

    /// Adds a backend for as long as the membership lives.
    pub(crate) fn admit(self: &Arc<Self>, backend: Arc<Backend>) -> Membership {
        self.list().push(Arc::clone(&backend));
        self.count();
        Membership {
            backends: Arc::clone(self),
            backend,
        }
    }

    /// Whether the first strategy can choose from anybody, as the reference's readiness has it.
    pub(crate) fn is_ready(&self) -> bool {
        self.strategies
            .first()
            .is_some_and(|first| self.known(*first) > 0)
    }

    /// Agent streams right now.
    pub(crate) fn len(&self) -> usize {
        self.list().len()
    }

    fn known(&self, strategy: Strategy) -> usize {
        let list = self.list();
        let candidates: Vec<Candidate<'_>> =
            list.iter().map(|backend| backend.candidate()).collect();
        strategy::known(strategy, &candidates)
    }

    /// Brings the gauges up to date. The reference's deprecated one follows the first strategy here;
    /// there it shows whichever strategy changed last.
    fn count(&self) {
        for strategy in &self.strategies {
            self.metrics.ready(*strategy, self.known(*strategy));
        }
        if let Some(first) = self.strategies.first() {
            self.metrics.ready_first(self.known(*first));
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Backend>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One backend's place in the list.
#[derive(Debug)]
pub(crate) struct Membership {
    backends: Arc<Backends>,
    backend: Arc<Backend>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.backends
            .list()
            .retain(|other| other.id() != self.backend.id());
        self.backends.count();
    }
}
