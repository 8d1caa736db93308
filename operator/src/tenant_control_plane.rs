//! One `TenantControlPlane`, management side: from what is asked for to the objects that serve it.
//!
//! ```text
//!  observe ──► validate ──► issue ──► build ──► apply ──► report
//!  Observed    ControlPlane  Pki      Objects    Objects   status
//!                                     <Desired>  <Applied>
//! ```
//!
//! `validate`, `issue` and `build` are pure: they ask no cluster and no clock. [`reconcile`] is the six lines; what a
//! pass came to is reported whether it succeeded or not.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use crate::api::TenantControlPlane;
use crate::context::Context;
use crate::finalizer::{self, Wish};
use crate::names::{InvalidName, Names};
use crate::objects::{Applied, Objects};
use crate::telemetry::chain;
use crate::{labels, retry};

pub mod apply;
pub mod build;
pub mod claim;
pub mod cleanup;
pub mod control_plane;
pub mod difference;
pub mod issue;
pub mod observe;
pub mod observed;
pub mod ownership;
pub mod place;
pub mod report;
pub mod validate;

#[cfg(test)]
mod fixtures;

pub use build::build;
pub use control_plane::{ControlPlane, Endpoint, Stage};
pub use issue::{Pki, issue};
pub use observed::Observed;
pub use validate::validate;

use observe::{Observation, observe};
use place::{Placed, place};
use validate::Mistakes;

/// No pass is further away than this: a certificate may be due, and clocks may be set.
const LONGEST: Duration = Duration::from_hours(6);

/// What a pass came to, as far as it came.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was read.
    pub observation: Observation,
    /// What was validated.
    pub control_plane: Option<ControlPlane>,
    /// Whether the tenant has its place in the store.
    pub placed: Option<Placed>,
    /// What was issued.
    pub pki: Option<Pki>,
    /// What the API server holds now.
    pub applied: Option<Objects<Applied>>,
    /// What stopped the pass.
    pub failure: Option<Error>,
}

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be used.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The finalizer was not set.
    #[error("cannot change the finalizers")]
    Finalizer(#[source] Box<kube::Error>),
    /// Something could not be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// The manifest breaks rules.
    #[error("the manifest cannot be carried out: {0}")]
    Validate(#[from] Mistakes),
    /// A certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] issue::Error),
    /// The API server refused an object.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The status was not written.
    #[error("cannot write the status")]
    Report(#[source] Box<kube::Error>),
    /// Deleting cannot go on.
    #[error(transparent)]
    Cleanup(#[from] cleanup::Error),
    /// It took too long.
    #[error("the pass was given up after {} s", .0.as_secs())]
    Deadline(Duration),
    /// A step broke: a mistake of ours.
    #[error("a step of the pass broke")]
    Broken(#[from] tokio::task::JoinError),
}

impl Error {
    /// What the API server said, when it was the one that refused.
    pub fn api(&self) -> Option<&kube::Error> {
        match self {
            Self::Finalizer(source) | Self::Report(source) => Some(source),
            Self::Observe(error) => Some(&error.source),
            Self::Apply(error) => Some(&error.source),
            Self::Cleanup(error) => error.api(),
            Self::Name(_)
            | Self::Validate(_)
            | Self::Issue(_)
            | Self::Deadline(_)
            | Self::Broken(_) => None,
        }
    }

    /// One word, for metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Name(_) | Self::Validate(_) => "invalid",
            Self::Finalizer(_) => "finalizer_failed",
            Self::Observe(_) => "observe_failed",
            Self::Issue(_) => "issue_failed",
            Self::Apply(_) => "apply_failed",
            Self::Report(_) => "report_failed",
            Self::Cleanup(_) => "cleanup_waits",
            Self::Deadline(_) => "deadline",
            Self::Broken(_) => "broken",
        }
    }
}

/// One pass over one object. The cache only says which one: it is read anew, so that a pass never builds on a status
/// older than the one it wrote itself.
pub async fn reconcile(
    cached: Arc<TenantControlPlane>,
    ctx: Arc<Context>,
) -> Result<Action, Error> {
    let mut measured = ctx.metrics.measure("tenant_control_plane");
    let (namespace, name) = (cached.namespace().unwrap_or_default(), cached.name_any());
    let api: Api<TenantControlPlane> = Api::namespaced(ctx.client.clone(), &namespace);
    let found = api.get_opt(&name).await.map_err(|source| {
        Error::Observe(observe::Error {
            what: format!("TenantControlPlane {namespace}/{name}"),
            source: Box::new(source),
        })
    })?;
    let passed = match found {
        None => Ok(Action::await_change()),
        Some(tcp) => tokio::time::timeout(ctx.settings.deadline, Box::pin(pass(&tcp, &ctx)))
            .await
            .unwrap_or(Err(Error::Deadline(ctx.settings.deadline))),
    };
    match &passed {
        Ok(_) => {
            ctx.failures.succeeded(Some(namespace), name);
            measured.outcome("ok");
        }
        Err(error) => measured.outcome(error.as_str()),
    }
    passed
}

async fn pass(tcp: &TenantControlPlane, ctx: &Context) -> Result<Action, Error> {
    if tcp.annotations().contains_key(labels::PAUSED) {
        report::paused(tcp, ctx).await?;
        return Ok(Action::await_change());
    }
    if tcp.metadata.deletion_timestamp.is_some() {
        return cleanup::cleanup(tcp, ctx).await;
    }
    let mut outcome = Outcome::default();
    outcome.failure = Box::pin(converge(tcp, ctx, &mut outcome)).await.err();
    let reported = report::report(tcp, &outcome, ctx).await;
    // A step that failed outranks a report that failed.
    let again = look_again(&outcome, ctx);
    match outcome.failure {
        Some(failure) => Err(failure),
        None => reported.map(|()| Action::requeue(again)),
    }
}

/// Steps 1 to 5. What was reached is left in `outcome`, also when a step fails.
async fn converge(
    tcp: &TenantControlPlane,
    ctx: &Context,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let names = Names::new(tcp.namespace().unwrap_or_default(), tcp.name_any())?;
    finalizer::settle(&ctx.client, tcp, labels::FINALIZER, Wish::Present)
        .await
        .map_err(|source| Error::Finalizer(Box::new(source)))?;
    outcome.observation = Box::pin(observe(tcp, &names, ctx)).await?;
    let observed = &outcome.observation.observed;
    let settings = &ctx.settings;
    let mut control_plane = validate(tcp, observed, &settings.defaults, &settings.limits)?;
    outcome.placed = Some(place(tcp, &mut control_plane, &outcome.observation.store, ctx).await);
    let control_plane = outcome.control_plane.insert(control_plane);
    outcome.pki = issued(control_plane, observed, ctx).await?;
    let desired = build(control_plane, outcome.pki.as_ref());
    let live = apply::Live::of(observed, &control_plane.owner);
    let (applied, refused) = apply::apply(&ctx.client, desired, &live).await;
    outcome.applied = Some(applied);
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// Making keys takes long enough to belong on a thread of its own.
async fn issued(
    control_plane: &ControlPlane,
    observed: &Observed,
    ctx: &Context,
) -> Result<Option<Pki>, Error> {
    let (control_plane, observed, now) = (control_plane.clone(), observed.clone(), (ctx.now)());
    let issued = tokio::task::spawn_blocking(move || issue(&control_plane, &observed, now)).await?;
    Ok(issued?)
}

/// When to look again if no watch wakes us: when a certificate is due, or a store that failed may be back.
fn look_again(outcome: &Outcome, ctx: &Context) -> Duration {
    if let Some(Placed::Failed { .. }) = outcome.placed {
        return Duration::from_secs(15);
    }
    let due = outcome
        .pki
        .as_ref()
        .map(|pki| pki.look_again.duration_since((ctx.now)()));
    let due = due
        .and_then(|due| Duration::try_from(due).ok())
        .unwrap_or(LONGEST);
    due.clamp(Duration::from_secs(1), LONGEST)
}

/// A failed pass is logged once, here. A mistake in the manifest waits for the next edit, everything else is tried
/// again, later each time.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that `Controller::run` takes"
)]
pub fn error_policy(tcp: Arc<TenantControlPlane>, error: &Error, ctx: Arc<Context>) -> Action {
    let (namespace, name) = (tcp.namespace(), tcp.name_any());
    let object = format!("{}/{name}", namespace.as_deref().unwrap_or_default());
    if let Error::Name(_) = error {
        tracing::warn!(
            object,
            error = chain(error),
            "TenantControlPlane not reconciled"
        );
        return Action::await_change();
    }
    let delay = ctx
        .failures
        .failed(namespace, name, error.api().and_then(retry::asked));
    match error {
        // An object of that name may go away, which no watch of ours tells.
        Error::Validate(_) => tracing::info!(
            object,
            error = chain(error),
            "TenantControlPlane not carried out"
        ),
        _ => {
            tracing::warn!(object, error = chain(error), retry = ?delay, "TenantControlPlane not reconciled");
        }
    }
    Action::requeue(delay)
}
