//! The third controller: can tenants keep their state in a `DataStore`, and who does.
//!
//! ```text
//!  DataStore ─► resolve ─► probe ─┐
//!  tenants (cache) ──► usage ─────┴─► status: ready, usedBy, conditions    finalizer while used
//! ```
//!
//! A tenant's coming and going wakes its own store here, and a store wakes tenants only when its spec, its readiness or
//! its credentials changed: creating one tenant costs the others nothing.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};

use crate::api::DataStore;
use crate::context::Context;
use crate::labels::FINALIZER_DATA_STORE;
use crate::metrics::{Readiness, StoreLine, Validity};
use crate::telemetry::chain;
use crate::{finalizer, retry};

pub mod connections;
pub mod probe;
pub mod report;
pub mod resolve;
pub mod usage;

/// A store that answers is asked again after this time; nothing else tells that it went away.
const PROBE: Duration = Duration::from_mins(1);
/// A store that does not answer is asked again after this time.
const PROBE_FAILED: Duration = Duration::from_secs(10);

/// Why a pass over a `DataStore` failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its status was not written.
    #[error("cannot write the status of DataStore {name}")]
    Report {
        /// Which store.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Its finalizer was not changed.
    #[error("cannot change the finalizers of DataStore {name}")]
    Finalizer {
        /// Which store.
        name: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    fn source_error(&self) -> &kube::Error {
        match self {
            Self::Report { source, .. } | Self::Finalizer { source, .. } => source,
        }
    }
}

/// One pass over one store.
pub async fn reconcile(store: Arc<DataStore>, ctx: Arc<Context>) -> Result<Action, Error> {
    let mut measured = ctx.metrics.measure("data_store");
    let name = store.name_any();
    let used_by = usage::used_by(&name, &ctx.tenants.state(), &ctx.settings.defaults);
    protect(&store, &used_by, &ctx).await?;
    if store.meta().deletion_timestamp.is_some() && used_by.is_empty() {
        ctx.connections.forget(&name);
        ctx.metrics.forget_store(&name);
        measured.outcome("ok");
        return Ok(Action::await_change());
    }
    let probe = probe::probe(&store, &ctx).await;
    report::report(&store, &probe, used_by, &ctx)
        .await
        .map_err(|source| Error::Report {
            name: name.clone(),
            source: Box::new(source),
        })?;
    let line = StoreLine {
        driver: store.spec.driver.as_str(),
        valid: if probe.is_valid() {
            Validity::Valid
        } else {
            Validity::Invalid
        },
        ready: if probe.is_ready() {
            Readiness::Ready
        } else {
            Readiness::NotReady
        },
    };
    ctx.metrics.store(&name, line);
    ctx.failures.succeeded(None, name);
    measured.outcome("ok");
    Ok(Action::requeue(if probe.is_ready() {
        PROBE
    } else {
        PROBE_FAILED
    }))
}

/// A failed pass is logged once, here, and repeated later each time.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that `Controller::run` takes"
)]
pub fn error_policy(store: Arc<DataStore>, error: &Error, ctx: Arc<Context>) -> Action {
    let delay = ctx
        .failures
        .failed(None, store.name_any(), retry::asked(error.source_error()));
    tracing::warn!(data_store = store.name_any(), error = chain(error), retry = ?delay, "DataStore not reconciled");
    Action::requeue(delay)
}

/// Keeps the store from being deleted under the tenants that use it.
async fn protect(store: &DataStore, used_by: &[String], ctx: &Context) -> Result<(), Error> {
    let wish = if used_by.is_empty() {
        finalizer::Wish::Absent
    } else {
        finalizer::Wish::Present
    };
    finalizer::settle(&ctx.client, store, FINALIZER_DATA_STORE, wish)
        .await
        .map_err(|source| Error::Finalizer {
            name: store.name_any(),
            source: Box::new(source),
        })
}
