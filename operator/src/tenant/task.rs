//! The task of one tenant: passes over it, one after the other, for as long as its custom resource exists.
//!
//! It owns the client and the watches of that tenant and shares nothing with other tenants, so one that hangs delays
//! nobody. Four things wake it: the custom resource, an object inside the tenant, an answer or a silence that nobody
//! expected, the clock.

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
use super::liveness::{self, Belief, Probing};
use super::pass::{self, Gate, PassError, Visit};
use super::report;
use super::standing::Shortage;
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
    /// Empty until the tenant has answered.
    changes: Changes,
    refusals: Refusals,
    shortage: Shortage,
    belief: Belief,
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
        let asked = session
            .as_ref()
            .map(|open| (open.client.clone(), open.belief));
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return; },
            () = touched(&mut session) => {},
            () = surprised(asked, tenants.probing) => session = None,
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
        Gate::Open => match Box::pin(visit(tcp, session, tenants)).await {
            Ok(done) => (done.report, Ok(done.again)),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "tenant not reconciled");
                (pass::stopped(tcp, &error), Err(Failed))
            }
        },
    };
    if let Err(error) = report::write(&tenants.client, &tenants.events, tcp, &report).await {
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
    let trusted = open.belief == Belief::Answers;
    match attempt(tcp, &access, open, tenants).await {
        // Connections that a firewall forgot say nothing of the tenant: it is asked once more, on new ones.
        Err(error) if trusted && error.is_silence() => {
            *session = None;
            let open = enter(&access, session).await?;
            attempt(tcp, &access, open, tenants).await
        }
        ended => ended,
    }
}

/// One visit on one session. Nobody is listed or watched who has not answered a small question first.
async fn attempt(
    tcp: &TenantControlPlane,
    access: &Access,
    open: &mut Session,
    tenants: &Tenants,
) -> Result<pass::Done, PassError> {
    if open.belief == Belief::Silent {
        let answer = liveness::ask(&open.client, tenants.probing.limit).await;
        answer.map_err(PassError::Unreachable)?;
        open.belief = Belief::Answers;
        open.changes = changes(&open.client);
    }
    let client = open.client.clone();
    let visit = Visit {
        tcp,
        authority: &access.authority,
        agent_image: &tenants.agent_image,
        refusals: &mut open.refusals,
        shortage: &mut open.shortage,
    };
    let done = pass::converge(visit, &client, &tenants.client).await;
    if done.as_ref().is_err_and(PassError::is_silence) {
        open.belief = Belief::Silent;
        open.changes.clear();
    }
    done
}

/// The session for these credentials: the one we have, or a new one with a new client.
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
            client,
            changes: Changes::new(),
            refusals: Refusals::default(),
            shortage: Shortage::default(),
            belief: Belief::Silent,
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

/// Waits until the tenant answers although it was silent, or the other way round.
async fn surprised(asked: Option<(Client, Belief)>, probing: Probing) {
    let Some((client, belief)) = asked else {
        return std::future::pending().await;
    };
    let probe = || {
        let client = client.clone();
        async move {
            match liveness::ask(&client, probing.limit).await {
                Ok(()) => Belief::Answers,
                Err(_) => Belief::Silent,
            }
        }
    };
    liveness::contradicted(probing, belief, rand::random, probe).await;
    tracing::info!(
        ?belief,
        "no longer so: connections and watches are made anew"
    );
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
