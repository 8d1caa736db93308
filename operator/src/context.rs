//! What a pass may touch: the API server, settings, caches, connections to stores, the time, and where to tell of it.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use kube::runtime::reflector::Store;

use crate::api::{DataStore, TenantControlPlane};
use crate::args::Settings;
use crate::backoff::Failures;
use crate::data_store::connections::Connections;
use crate::events::Events;
use crate::metrics::Metrics;

/// As whom the operator writes.
pub const FIELD_MANAGER: &str = "warren";

/// What a pass may touch.
#[derive(Clone)]
pub struct Context {
    /// The management cluster.
    pub client: Client,
    /// What the program was told.
    pub settings: Arc<Settings>,
    /// Events about objects.
    pub events: Events,
    /// Series for Prometheus.
    pub metrics: Arc<Metrics>,
    /// Failures in a row, for the delay before the next try.
    pub failures: Arc<Failures>,
    /// Open connections to stores.
    pub connections: Arc<Connections>,
    /// Every tenant control plane, as last watched.
    pub tenants: Store<TenantControlPlane>,
    /// Every store, as last watched.
    pub data_stores: Store<DataStore>,
    /// The clock.
    pub now: fn() -> Timestamp,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
