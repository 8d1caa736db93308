//! The task of one tenant: passes over it, one after the other, for as long as its custom resource exists.
//!
//! It owns the client and the watches of that tenant and shares nothing with other tenants, so one that hangs delays
//! nobody. Three things wake it: the custom resource, an object inside the tenant, the clock.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Tenants;
use super::call::Chain;
use super::connect::{self, Access};
use super::evidence::refusals::Refusals;
use super::pass::{self, Gate, PassError, Visit};
use super::report;
use super::watch::{Changes, changes};
use crate::api::TenantControlPlane;

/// A pass that takes longer is given up.
const PASS: Duration = Duration::from_mins(1);
/// Changes come in swarms.
const SETTLE: Duration = Duration::from_millis(300);
/// The pause after a first failure; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST: Duration = Duration::from_mins(1);

/// A way into the tenant, and what happens there.
struct Session {
    fingerprint: String,
    client: Client,
    changes: Changes,
    refusals: Refusals,
}

/// Looks after one tenant until the sender of `wishes` is dropped.
pub(super) async fn follow(
    mut wishes: watch::Receiver<Arc<TenantControlPlane>>,
    tenants: Arc<Tenants>,
) {
    let mut session = None;
    let mut failures = 0_u32;
    loop {
        let tcp = wishes.borrow_and_update().clone();
        let passed = timeout(PASS, pass(&tcp, &mut session, &tenants)).await;
        let again = if let Ok(Ok(again)) = passed {
            failures = 0;
            again
        } else {
            failures = failures.saturating_add(1);
            pause(failures)
        };
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return; },
            () = touched(&mut session) => {},
            () = sleep(again) => {},
        }
    }
}

/// The pass failed; it is told of already.
struct Failed;

async fn pass(
    tcp: &TenantControlPlane,
    session: &mut Option<Session>,
    tenants: &Tenants,
) -> Result<Duration, Failed> {
    let gate = pass::gate(tcp);
    let (report, outcome) = match gate {
        Gate::Closed => {
            *session = None;
            return Ok(LONGEST);
        }
        Gate::Sleeping | Gate::Starting => {
            *session = None;
            (pass::absent(gate), Ok(LONGEST))
        }
        Gate::Open => match visit(tcp, session, tenants).await {
            Ok(done) => (done.report, Ok(done.again)),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "tenant not reconciled");
                (pass::stopped(tcp, &error), Err(Failed))
            }
        },
    };
    if let Err(error) = report::write(&tenants.client, &tenants.recorder, tcp, &report).await {
        tracing::warn!(%error, "writing the tenant's status failed");
        return Err(Failed);
    }
    outcome
}

async fn visit(
    tcp: &TenantControlPlane,
    session: &mut Option<Session>,
    tenants: &Tenants,
) -> Result<pass::Done, PassError> {
    let access = connect::access(&tenants.client, tenants.reach, tcp).await?;
    let open = enter(&access, session).await?;
    let client = open.client.clone();
    let visit = Visit {
        tcp,
        authority: &access.authority,
        agent_image: &tenants.agent_image,
        refusals: &mut open.refusals,
    };
    pass::converge(visit, &client, &tenants.client).await
}

/// The session for these credentials: the one we have, or a new one with a new client and new watches.
async fn enter<'a>(
    access: &Access,
    session: &'a mut Option<Session>,
) -> Result<&'a mut Session, PassError> {
    let fingerprint = access.fingerprint();
    if session
        .as_ref()
        .is_none_or(|open| open.fingerprint != fingerprint)
    {
        *session = None;
        let client = access.client().await?;
        return Ok(session.insert(Session {
            fingerprint,
            changes: changes(&client),
            client,
            refusals: Refusals::default(),
        }));
    }
    Ok(session
        .as_mut()
        .expect("one with this fingerprint was just seen"))
}

/// Waits for a change inside the tenant, then for the swarm it is part of to pass.
async fn touched(session: &mut Option<Session>) {
    let Some(Session { changes, .. }) = session else {
        return std::future::pending().await;
    };
    if changes.next().await.is_none() {
        return std::future::pending().await;
    }
    sleep(SETTLE).await;
    while let Some(Some(())) = changes.next().now_or_never() {}
}

fn pause(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    SHORTEST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = [1, 2, 3, 7, 4_000_000]
            .map(|failures| pause(failures).as_secs())
            .into();
        assert_eq!(pauses, [1, 2, 4, 60, 60]);
    }
}
