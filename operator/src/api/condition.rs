//! Conditions: one for each thing that can be wrong, each with a reason and a remedy.
//!
//! In: a [`Finding`], which a step made. Out: the `conditions` of a status, where
//! `lastTransitionTime` moves only when the status does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// What a condition speaks of. Good is `True` for all but [`Self::Progressing`], which says that
/// something is going on, and the last two, which are there only while the spec deserves them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ConditionType {
    /// The whole: the tenant can be used as its spec asks.
    Ready,
    /// Something is being changed right now.
    Progressing,
    /// The API server has an address that clients can use.
    EndpointReady,
    /// The DataStore is there, answers, and holds the tenant's user and prefix.
    DataStoreReady,
    /// Every certificate and kubeconfig is there and valid for long enough.
    CertificatesValid,
    /// Control-plane pods serve.
    ControlPlaneAvailable,
    /// The tunnel's server runs, or is not wanted.
    TunnelReady,
    /// Every agent that there should be is connected.
    AgentsReady,
    /// The tenant cluster holds what nodes need to join.
    TenantBootstrapped,
    /// The spec has fields that have no effect.
    FieldsIgnored,
    /// kube-apiserver dials somebody for itself, and the spec does not say from which network.
    EgressUnstated,
}

impl ConditionType {
    /// Every type, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Progressing,
        Self::EndpointReady,
        Self::DataStoreReady,
        Self::CertificatesValid,
        Self::ControlPlaneAvailable,
        Self::TunnelReady,
        Self::AgentsReady,
        Self::TenantBootstrapped,
        Self::FieldsIgnored,
        Self::EgressUnstated,
    ];

    /// The word in `conditions[].type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::EndpointReady => "EndpointReady",
            Self::DataStoreReady => "DataStoreReady",
            Self::CertificatesValid => "CertificatesValid",
            Self::ControlPlaneAvailable => "ControlPlaneAvailable",
            Self::TunnelReady => "TunnelReady",
            Self::AgentsReady => "AgentsReady",
            Self::TenantBootstrapped => "TenantBootstrapped",
            Self::FieldsIgnored => "FieldsIgnored",
            Self::EgressUnstated => "EgressUnstated",
        }
    }
}

/// Why a condition is as it is; the word in `conditions[].reason`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// All is as the spec asks.
    AsExpected,
    /// The spec does not ask for it.
    Disabled,
    /// The spec breaks a rule.
    InvalidSpec,
    /// The object carries the pause annotation.
    Paused,
    /// The spec asks for no pods.
    Sleeping,
    /// The object is being deleted.
    Deleting,
    /// Objects are being created for the first time.
    Provisioning,
    /// Pods move to another version.
    Upgrading,
    /// Pods are being replaced.
    RollingOut,
    /// A step failed and is tried again.
    ReconcileFailed,
    /// Waits for something that another condition names.
    WaitingForDependency,

    /// The load balancer has given no address yet.
    LoadBalancerPending,
    /// A port of the Service is taken.
    PortClash,
    /// A node port is outside the cluster's range.
    NodePortOutOfRange,
    /// An object of that name belongs to somebody else.
    NameTaken,

    /// No DataStore of that name.
    DataStoreNotFound,
    /// The DataStore does not answer.
    DataStoreUnreachable,
    /// The DataStore refuses our credentials, or what it refers to is missing.
    DataStoreMisconfigured,
    /// The DataStore's driver is not served yet.
    DriverNotSupported,

    /// A certificate could not be made or read.
    CertificateInvalid,
    /// A certificate is about to expire and could not be renewed.
    CertificateExpiring,

    /// An image cannot be pulled.
    ImagePullFailed,
    /// A container starts and ends again.
    CrashLooping,
    /// No node takes the pods.
    Unschedulable,
    /// A quota or a policy refuses the pods.
    PodsRefused,
    /// No pod is ready yet.
    PodsNotReady,

    /// The tenant's API server does not answer.
    TenantUnreachable,
    /// The tenant cluster has no nodes, so no agents can run.
    NoNodes,
    /// konnectivity-servers run that do not announce themselves to agents.
    ServersMissing,
    /// Nodes are there and no agent is connected.
    NoAgentConnected,
    /// Some agents are connected and others stay away. The tunnel works, and the whole is ready.
    AgentsMissing,
    /// Agents are turned away because their token or certificate is refused.
    AgentNotAuthenticated,
    /// A webhook of the tenant stands between agents and their recognition by `TokenReview`, which ours do not need.
    AdmissionBlocksAgents,

    /// Fields of the spec have no effect.
    NotActedOn,
    /// Webhooks of kube-apiserver go through the tunnel and nobody said so.
    EgressUnstated,
    /// Part of the spec repeats another part, or does nothing beside it.
    Redundant,
}

impl Reason {
    /// The word in `conditions[].reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsExpected => "AsExpected",
            Self::Disabled => "Disabled",
            Self::InvalidSpec => "InvalidSpec",
            Self::Paused => "Paused",
            Self::Sleeping => "Sleeping",
            Self::Deleting => "Deleting",
            Self::Provisioning => "Provisioning",
            Self::Upgrading => "Upgrading",
            Self::RollingOut => "RollingOut",
            Self::ReconcileFailed => "ReconcileFailed",
            Self::WaitingForDependency => "WaitingForDependency",
            Self::LoadBalancerPending => "LoadBalancerPending",
            Self::PortClash => "PortClash",
            Self::NodePortOutOfRange => "NodePortOutOfRange",
            Self::NameTaken => "NameTaken",
            Self::DataStoreNotFound => "DataStoreNotFound",
            Self::DataStoreUnreachable => "DataStoreUnreachable",
            Self::DataStoreMisconfigured => "DataStoreMisconfigured",
            Self::DriverNotSupported => "DriverNotSupported",
            Self::CertificateInvalid => "CertificateInvalid",
            Self::CertificateExpiring => "CertificateExpiring",
            Self::ImagePullFailed => "ImagePullFailed",
            Self::CrashLooping => "CrashLooping",
            Self::Unschedulable => "Unschedulable",
            Self::PodsRefused => "PodsRefused",
            Self::PodsNotReady => "PodsNotReady",
            Self::TenantUnreachable => "TenantUnreachable",
            Self::NoNodes => "NoNodes",
            Self::ServersMissing => "ServersMissing",
            Self::NoAgentConnected => "NoAgentConnected",
            Self::AgentsMissing => "AgentsMissing",
            Self::AgentNotAuthenticated => "AgentNotAuthenticated",
            Self::AdmissionBlocksAgents => "AdmissionBlocksAgents",
            Self::NotActedOn => "NotActedOn",
            Self::EgressUnstated => "EgressUnstated",
            Self::Redundant => "Redundant",
        }
    }
}

/// Whether what a condition speaks of is so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can say.
    Unknown,
}

impl Verdict {
    /// The word in `conditions[].status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a step found out about one condition.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it speaks of.
    pub condition: ConditionType,
    /// Whether it is so.
    pub verdict: Verdict,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence that ends in the remedy.
    pub message: String,
}

impl Finding {
    /// It is so.
    pub fn yes(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            verdict: Verdict::True,
            reason,
            message: message.into(),
        }
    }

    /// It is not so.
    pub fn no(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            verdict: Verdict::False,
            reason,
            message: message.into(),
        }
    }

    /// Nobody can say.
    pub fn unknown(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            verdict: Verdict::Unknown,
            reason,
            message: message.into(),
        }
    }
}

/// What [`set`] did to a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Everything was there already.
    Same,
    /// Reason, message or generation are new; worth writing, hardly worth an Event.
    Wording,
    /// The status or the reason is new; worth an Event.
    Transition,
}

/// Puts a finding into the list, sorted in beside the others. `lastTransitionTime` becomes `now`
/// only when the status differs from before.
pub fn set(
    conditions: &mut Vec<Condition>,
    finding: &Finding,
    generation: Option<i64>,
    now: &Time,
) -> Change {
    let kind = finding.condition.as_str();
    let mut next = Condition {
        type_: kind.to_owned(),
        status: finding.verdict.as_str().to_owned(),
        reason: finding.reason.as_str().to_owned(),
        message: bounded(&finding.message),
        observed_generation: generation,
        last_transition_time: now.clone(),
    };
    let Some(held) = conditions
        .iter_mut()
        .find(|condition| condition.type_ == kind)
    else {
        conditions.push(next);
        conditions.sort_by_key(|condition| rank(&condition.type_));
        return Change::Transition;
    };
    if held.status == next.status {
        next.last_transition_time = held.last_transition_time.clone();
    }
    let change = if *held == next {
        Change::Same
    } else if held.status == next.status && held.reason == next.reason {
        Change::Wording
    } else {
        Change::Transition
    };
    *held = next;
    change
}

/// Takes a condition out, where it does not apply any more.
pub fn clear(conditions: &mut Vec<Condition>, condition: ConditionType) {
    conditions.retain(|held| held.type_ != condition.as_str());
}

/// The condition of that type.
pub fn find(conditions: &[Condition], condition: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|held| held.type_ == condition.as_str())
}

/// Whether the condition of that type is `True`.
pub fn is_true(conditions: &[Condition], condition: ConditionType) -> bool {
    find(conditions, condition).is_some_and(|held| held.status == Verdict::True.as_str())
}

/// Ours in their order, then those of others, which stay as they are.
fn rank(kind: &str) -> usize {
    ConditionType::ALL
        .iter()
        .position(|known| known.as_str() == kind)
        .unwrap_or(ConditionType::ALL.len())
}

/// The API takes 32768 characters.
fn bounded(message: &str) -> String {
    const LIMIT: usize = 32_000;
    if message.len() <= LIMIT {
        message.to_owned()
    } else {
        message.chars().take(LIMIT / 4).collect()
    }
}

#[cfg(test)]
mod tests;
