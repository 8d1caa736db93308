//! `Ready`: the whole, made of everything else, with the first thing that is wrong as its reason. Pure.

use crate::api::condition::{self, ConditionType, Finding, Reason, Verdict};
use crate::api::{TenantControlPlane, TenantControlPlaneStatus};
use crate::tenant_control_plane::{Error, Outcome};

/// In the order in which one thing is the cause of the next.
const CAUSES: [ConditionType; 7] = [
    ConditionType::EndpointReady,
    ConditionType::DataStoreReady,
    ConditionType::CertificatesValid,
    ConditionType::ControlPlaneAvailable,
    ConditionType::TenantBootstrapped,
    ConditionType::TunnelReady,
    ConditionType::AgentsReady,
];

/// Whether the tenant can be used as its spec asks.
pub(super) fn ready(
    tcp: &TenantControlPlane,
    outcome: &Outcome,
    next: &TenantControlPlaneStatus,
) -> Finding {
    let no = |reason, message: String| Finding::no(ConditionType::Ready, reason, message);
    if let Some(failure) = &outcome.failure {
        return match (failure, first_wrong(next)) {
            (Error::Validate(mistakes), _) => no(mistakes.reason, crate::telemetry::chain(failure)),
            (Error::Name(_), _) => no(Reason::InvalidSpec, crate::telemetry::chain(failure)),
            (_, Some(held)) => no(
                reason_of(&held.reason),
                format!("{}: {}", held.type_, held.message),
            ),
            (_, None) => no(Reason::ReconcileFailed, crate::telemetry::chain(failure)),
        };
    }
    if tcp.spec.control_plane.deployment.replicas == 0 {
        return no(Reason::Sleeping, "no pods are asked for".to_owned());
    }
    match first_wrong(next) {
        Some(held) => no(
            reason_of(&held.reason),
            format!("{}: {}", held.type_, held.message),
        ),
        None => match missing(next) {
            Some(kind) => no(
                Reason::WaitingForDependency,
                format!("{} is not known yet", kind.as_str()),
            ),
            None => Finding::yes(ConditionType::Ready, Reason::AsExpected, well(next)),
        },
    }
}

type Held = k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// What is said when nothing is in the way.
fn well(next: &TenantControlPlaneStatus) -> &'static str {
    match condition::find(&next.conditions, ConditionType::AgentsReady) {
        Some(held) if is_without_some(held) => {
            "the control plane can be used; some agents are missing: see the condition AgentsReady"
        }
        _ => "the control plane can be used",
    }
}

/// The first condition that is not true and in the way. A tunnel without nodes is nobody's fault, and one node of many
/// whose agent is missing does not take the others from their control plane.
fn first_wrong(next: &TenantControlPlaneStatus) -> Option<&Held> {
    CAUSES
        .into_iter()
        .filter_map(|kind| condition::find(&next.conditions, kind))
        .find(|held| {
            held.status != Verdict::True.as_str()
                && !is_without_nodes(held)
                && !is_without_some(held)
        })
}

fn is_without_nodes(held: &Held) -> bool {
    held.reason == Reason::NoNodes.as_str() && held.status == Verdict::Unknown.as_str()
}

fn is_without_some(held: &Held) -> bool {
    held.reason == Reason::AgentsMissing.as_str()
}

/// The first condition that nobody has spoken of yet.
fn missing(next: &TenantControlPlaneStatus) -> Option<ConditionType> {
    CAUSES
        .into_iter()
        .find(|kind| condition::find(&next.conditions, *kind).is_none())
}

/// Reasons that a cause can have.
const KNOWN: [Reason; 27] = [
    Reason::Disabled,
    Reason::Provisioning,
    Reason::Upgrading,
    Reason::RollingOut,
    Reason::ReconcileFailed,
    Reason::WaitingForDependency,
    Reason::Sleeping,
    Reason::LoadBalancerPending,
    Reason::PortClash,
    Reason::NodePortOutOfRange,
    Reason::NameTaken,
    Reason::DataStoreNotFound,
    Reason::DataStoreUnreachable,
    Reason::DataStoreMisconfigured,
    Reason::DriverNotSupported,
    Reason::CertificateInvalid,
    Reason::CertificateExpiring,
    Reason::ImagePullFailed,
    Reason::CrashLooping,
    Reason::Unschedulable,
    Reason::PodsRefused,
    Reason::PodsNotReady,
    Reason::TenantUnreachable,
    Reason::ServersMissing,
    Reason::NoAgentConnected,
    Reason::AgentNotAuthenticated,
    Reason::AdmissionBlocksAgents,
];

/// Reasons travel as words; the whole has that of its cause.
fn reason_of(word: &str) -> Reason {
    KNOWN
        .into_iter()
        .find(|reason| reason.as_str() == word)
        .unwrap_or(Reason::WaitingForDependency)
}
