//! One pass over one tenant: the six steps, from the custom resource to what is reported about it.
//!
//! Whatever stops a pass becomes a finding with a remedy. A tenant that cannot be reached is a thing to wait for,
//! not a failure of ours.

use std::time::Duration;

use kube::{Client, Resource, ResourceExt};
use tokio::time::Instant;

use super::apply::{ApplyError, apply};
use super::build::{self, AGENT, BuildError, SYSTEM};
use super::call::{CallError, Chain};
use super::connect::ConnectError;
use super::evidence::refusals::{self, Refusals};
use super::evidence::{self, Evidence};
use super::health::{self, Agents};
use super::inputs::TenantInputs;
use super::object::{Key, checksum};
use super::observe::{Observed, observe};
use super::plan::plan;
use super::read::{ReadError, read};
use super::report::{Report, had_tunnel};
use super::servers::{self, Wanted};
use super::standing::{Patience, Shortage, Standing};
use crate::api::TenantControlPlane;
use crate::api::condition::{self, ConditionType, Finding, Reason, Verdict};
use crate::labels;

use ConditionType::{AgentsReady, TenantBootstrapped, TunnelReady};

/// A pass without an event: finds what no watch tells.
const RESYNC: Duration = Duration::from_mins(5);
/// While there is no node: the first one is seen soon.
const WITHOUT_NODES: Duration = Duration::from_secs(30);
/// While no agent is connected: the reason may change without any event of ours.
const WITHOUT_AGENTS: Duration = Duration::from_secs(8);
/// While some are missing: of their number a watch tells, of the reason nobody.
const WITH_SOME_AGENTS: Duration = Duration::from_mins(1);
/// While a server has not shown itself: it does so seconds after it may.
const WITHOUT_SERVERS: Duration = Duration::from_secs(4);

/// Whether there is anything to do for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Its API server is there.
    Open,
    /// Hands off: paused, or on its way out.
    Closed,
    /// It has no pods, by wish.
    Sleeping,
    /// None of its pods is ready yet.
    Starting,
}

/// Looks at the custom resource alone.
pub fn gate(tcp: &TenantControlPlane) -> Gate {
    let deployment = tcp
        .status
        .as_ref()
        .and_then(|status| status.kubernetes_resources.as_ref()?.deployment.as_ref());
    if tcp.meta().deletion_timestamp.is_some() || tcp.annotations().contains_key(labels::PAUSED) {
        Gate::Closed
    } else if tcp.spec.control_plane.deployment.replicas == 0 {
        Gate::Sleeping
    } else if deployment
        .and_then(|deployment| deployment.ready_replicas)
        .unwrap_or_default()
        > 0
    {
        Gate::Open
    } else {
        Gate::Starting
    }
}

/// What stopped a pass.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// There is no way in yet.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The spec does not say what is needed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The objects cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The tenant does not answer.
    #[error("the tenant's API server does not answer")]
    Unreachable(#[source] CallError),
    /// The tenant refuses.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl PassError {
    /// Whether nobody answered, which is something else than an answer that refuses.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable(source) | Self::Apply(ApplyError { source, .. }) => {
                source.code().is_none()
            }
            Self::Connect(_) | Self::Read(_) | Self::Build(_) => false,
        }
    }
}

/// A pass that came to its end.
#[derive(Debug)]
pub struct Done {
    /// What to report.
    pub report: Report,
    /// When to look again, whatever happens.
    pub again: Duration,
}

/// What a pass over a tenant that can be reached works with.
#[derive(Debug)]
pub struct Visit<'a> {
    /// The custom resource.
    pub tcp: &'a TenantControlPlane,
    /// Certificate of the tenant's authority, PEM.
    pub authority: &'a str,
    /// The operator's own image of the agent.
    pub agent_image: &'a str,
    /// What the servers said before.
    pub refusals: &'a mut Refusals,
    /// Since when agents are missing.
    pub shortage: &'a mut Shortage,
}

/// Steps 2 to 5: brings the tenant to what the spec asks.
pub async fn converge(
    visit: Visit<'_>,
    tenant: &Client,
    management: &Client,
) -> Result<Done, PassError> {
    let inputs = read(visit.tcp, visit.authority, visit.agent_image)?;
    let wanted = build::objects(&inputs)?;
    let sums: Vec<_> = wanted
        .iter()
        .map(|object| &object.object.metadata.annotations)
        .collect();
    let sums = checksum(&serde_json::json!(sums));
    let observed = observe(tenant).await.map_err(PassError::Unreachable)?;
    let mut plan = plan(wanted, &observed.live);
    if inputs.addons.konnectivity.is_none() && (had_tunnel(visit.tcp) || !plan.delete.is_empty()) {
        plan.forget.clone_from(&observed.server_leases);
    }
    let applied = apply(tenant, plan).await?;
    if !applied.written.is_empty() || !applied.deleted.is_empty() {
        let (written, deleted) = (applied.written.len(), applied.deleted.len());
        tracing::info!(written, deleted, "tenant changed");
    }
    let bootstrapped = "nodes can join, administrators and the control plane have their grants";
    let mut findings = vec![Finding::yes(
        TenantBootstrapped,
        Reason::AsExpected,
        bootstrapped,
    )];
    let evidence = async || Evidence {
        blocking_webhook: if evidence::reviews_decide(visit.tcp) {
            evidence::blocking_webhook(tenant).await
        } else {
            None
        },
        refused: match refusals::count(management, visit.tcp).await {
            Some(total) => visit.refusals.seen(total, Instant::now()),
            None => 0,
        },
    };
    let both = (visit.tcp, &inputs);
    findings.extend(tunnel(both, &observed, visit.shortage, evidence).await);
    let again = look_again(&findings);
    Ok(Done {
        again: again.min(visit.shortage.ends(Instant::now()).unwrap_or(again)),
        report: Report {
            findings,
            applied: Some(applied),
            inputs: Some(sums),
        },
    })
}

/// What is to be said of the tunnel; `evidence` is asked for only when nothing else explains a missing agent.
async fn tunnel(
    (tcp, inputs): (&TenantControlPlane, &TenantInputs),
    observed: &Observed,
    shortage: &mut Shortage,
    evidence: impl AsyncFnOnce() -> Evidence,
) -> [Finding; 2] {
    let Some(agent) = &inputs.addons.konnectivity else {
        *shortage = Shortage::default();
        let text = "addons.konnectivity is not asked for";
        return [TunnelReady, AgentsReady].map(|kind| Finding::yes(kind, Reason::Disabled, text));
    };
    let workload = observed.live.get(&Key {
        kind: agent.placement.mode().to_owned(),
        namespace: SYSTEM.to_owned(),
        name: AGENT.to_owned(),
    });
    let standing = Standing::of(&observed.agents, workload, agent.placement);
    let patience = shortage.seen(&standing, told(tcp), Instant::now());
    let judge = |evidence: &Evidence| {
        health::assess(Agents {
            nodes: observed.nodes,
            pods: &observed.agents,
            standing,
            patience,
            mode: agent.placement.mode(),
            evidence,
        })
    };
    let mut finding = judge(&Evidence::default());
    if finding.reason == Reason::NoAgentConnected {
        finding = judge(&evidence().await);
    }
    let counted = servers::are_counted(tcp, inputs.version.minor);
    let live = counted.then_some(observed.live_servers);
    [servers::assess(live, Wanted::of(tcp)), finding]
}

/// What the condition says of agents that are missing.
fn told(tcp: &TenantControlPlane) -> Patience {
    let status = tcp.status.as_ref();
    let held = status.and_then(|status| condition::find(&status.conditions, AgentsReady));
    match held {
        Some(held) if held.status == Verdict::False.as_str() => Patience::Over,
        _ => Patience::Left,
    }
}

fn look_again(findings: &[Finding]) -> Duration {
    let pauses =
        findings.iter().map(
            |finding| match (finding.condition, finding.verdict, finding.reason) {
                (TunnelReady, Verdict::False, _) => WITHOUT_SERVERS,
                (AgentsReady, Verdict::False, Reason::AgentsMissing) => WITH_SOME_AGENTS,
                (AgentsReady, Verdict::False, _) => WITHOUT_AGENTS,
                (_, _, Reason::NoNodes) => WITHOUT_NODES,
                _ => RESYNC,
            },
        );
    pauses.min().unwrap_or(RESYNC)
}

/// What to report while there is no tenant to look into.
pub fn absent(gate: Gate) -> Report {
    let (reason, text) = match gate {
        Gate::Open | Gate::Closed => return Report::default(),
        Gate::Sleeping => (
            Reason::Sleeping,
            "controlPlane.deployment.replicas is 0: raise it to wake the tenant",
        ),
        Gate::Starting => (
            Reason::WaitingForDependency,
            "no pod of the control plane is ready: see the condition ControlPlaneAvailable",
        ),
    };
    let mut findings = vec![Finding::no(TunnelReady, reason, text)];
    let unknown = [AgentsReady, TenantBootstrapped];
    findings.extend(unknown.map(|kind| Finding::unknown(kind, reason, text)));
    Report {
        findings,
        ..Report::default()
    }
}

/// What to report when a pass was stopped.
pub fn stopped(tcp: &TenantControlPlane, error: &PassError) -> Report {
    let service = format!("{}/{}", tcp.namespace().unwrap_or_default(), tcp.name_any());
    let chain = Chain(error);
    let finding = match error {
        PassError::Unreachable(_) if error.is_silence() => Finding::no(
            TenantBootstrapped,
            Reason::TenantUnreachable,
            format!(
                "{chain}. Check that the operator may dial Service {service} (network policies), and what the \
                 kube-apiserver container logs"
            ),
        ),
        PassError::Apply(_) if error.is_silence() => Finding::no(
            TenantBootstrapped,
            Reason::TenantUnreachable,
            format!("{chain}. Check the health of the control plane behind Service {service}"),
        ),
        PassError::Connect(ConnectError::Missing(_)) | PassError::Read(ReadError::NoEndpoint) => {
            Finding::unknown(
                TenantBootstrapped,
                Reason::WaitingForDependency,
                chain.to_string(),
            )
        }
        PassError::Read(_) | PassError::Build(_) => {
            Finding::no(TenantBootstrapped, Reason::InvalidSpec, chain.to_string())
        }
        PassError::Connect(_) | PassError::Unreachable(_) | PassError::Apply(_) => Finding::no(
            TenantBootstrapped,
            Reason::ReconcileFailed,
            chain.to_string(),
        ),
    };
    let mut findings = Vec::new();
    if tcp.spec.addons.konnectivity.is_some() {
        let text = "servers and agents cannot be looked at: see the condition TenantBootstrapped";
        let unknown = [TunnelReady, AgentsReady];
        findings.extend(unknown.map(|kind| Finding::unknown(kind, finding.reason, text)));
    }
    findings.push(finding);
    Report {
        findings,
        ..Report::default()
    }
}

#[cfg(test)]
mod tests;
