//! What can be said about the tunnel's agents from outside: their pods, and how many nodes there are. Pure.
//!
//! Nobody connected is a tunnel that is shut: the pods are asked in the order in which a person would look. Some missing
//! is a tunnel that works, perhaps not to every node: it is told by [`Reason::AgentsMissing`], which does not keep the
//! whole from being ready.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::evidence::Evidence;
use super::standing::{Patience, Standing, is_ready};
use crate::api::condition::{ConditionType, Finding, Reason};

const AGENTS: ConditionType = ConditionType::AgentsReady;

/// What speaks for and against the agents.
#[derive(Debug, Clone, Copy)]
pub struct Agents<'a> {
    /// Nodes that have joined.
    pub nodes: u64,
    /// The agents' pods, the first of them.
    pub pods: &'a [Pod],
    /// How many there are and should be.
    pub standing: Standing,
    /// Whether those that are missing may still come by themselves.
    pub patience: Patience,
    /// `DaemonSet` or `Deployment`.
    pub mode: &'a str,
    /// What the servers and the tenant's admission say.
    pub evidence: &'a Evidence,
}

/// Judges.
pub fn assess(agents: Agents<'_>) -> Finding {
    let Agents {
        nodes,
        pods,
        standing,
        patience,
        mode,
        evidence,
    } = agents;
    if nodes == 0 {
        let text =
            "the tenant cluster has no nodes, so no agents can run: join one with `kubeadm join`";
        return Finding::unknown(AGENTS, Reason::NoNodes, text);
    }
    if standing.connected > 0 {
        return some(standing, patience, pods);
    }
    if pods.is_empty() {
        let text = format!(
            "{nodes} nodes and no agent: {mode} kube-system/konnectivity-agent has no pods; its events in the tenant say \
             whether a quota, a policy or a taint keeps them away (addons.konnectivity.agent.tolerations)"
        );
        return Finding::no(AGENTS, Reason::NoAgentConnected, text);
    }
    let complaint = pods.iter().find_map(complaint).or_else(|| starting(pods));
    let (reason, text) = complaint.unwrap_or_else(|| silent(pods.len(), evidence));
    Finding::no(AGENTS, reason, text)
}

/// At least one is connected.
fn some(standing: Standing, patience: Patience, pods: &[Pod]) -> Finding {
    let Standing {
        connected, wanted, ..
    } = standing;
    let counted = format!("{} of {wanted} agents are connected", connected.min(wanted));
    if standing.is_whole() {
        return Finding::yes(AGENTS, Reason::AsExpected, counted);
    }
    if patience == Patience::Left {
        let text = format!("{counted}; pods are being started or replaced");
        return Finding::yes(AGENTS, Reason::AsExpected, text);
    }
    let why = pods.iter().filter(|pod| is_awaited(pod));
    let why: Vec<_> = why.cloned().collect();
    let complaint = why.iter().find_map(complaint).or_else(|| starting(&why));
    let why = complaint.map_or_else(|| apart(why.first()), |(_, text)| text);
    let text = format!("{counted}; {why}");
    Finding::no(AGENTS, Reason::AgentsMissing, text)
}

/// Whether the pod should be connected and is not.
fn is_awaited(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let is_over = matches!(phase, Some("Failed" | "Succeeded"));
    pod.metadata.deletion_timestamp.is_none() && !is_over && !is_ready(pod)
}

/// A pod runs like the others, and is not connected as they are.
fn apart(pod: Option<&Pod>) -> String {
    let Some(pod) = pod else {
        return "in the tenant `kubectl -n kube-system get pods -l app=konnectivity-agent -o wide` shows which are missing, and \
                the events of their workload why"
            .to_owned();
    };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    format!(
        "agent pod {name} on node {} is not: check that this node is Ready, and that it reaches the control plane's endpoint \
         on the port of addons.konnectivity.server",
        node.unwrap_or("unknown")
    )
}

/// What is wrong with this pod, when the pod itself says so.
fn complaint(pod: &Pod) -> Option<(Reason, String)> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    if let Some(found) = containers
        .iter()
        .find_map(|container| stopped(name, container))
    {
        return Some(found);
    }
    let unscheduled = status
        .conditions
        .as_deref()
        .unwrap_or_default()
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let why = unscheduled
        .message
        .as_deref()
        .unwrap_or("the scheduler gives no reason");
    let text = format!(
        "agent pod {name} finds no node: {why}. Make room, or let addons.konnectivity.agent.tolerations bear the taints"
    );
    Some((Reason::Unschedulable, text))
}

fn stopped(pod: &str, container: &ContainerStatus) -> Option<(Reason, String)> {
    let state = container.state.as_ref()?;
    let waiting = state
        .waiting
        .as_ref()
        .and_then(|waiting| waiting.reason.as_deref());
    match waiting {
        Some("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull") => {
            let text = format!(
                "image {} of agent pod {pod} cannot be pulled by its node: make the registry reachable from there, or \
                 set addons.konnectivity.agent.image and version",
                container.image
            );
            Some((Reason::ImagePullFailed, text))
        }
        Some("CrashLoopBackOff") => Some(crashed(pod, container.last_state.as_ref())),
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            let message = state
                .waiting
                .as_ref()
                .and_then(|waiting| waiting.message.as_deref());
            let text = format!(
                "agent pod {pod} cannot start: {}",
                message.unwrap_or("its node gives no reason")
            );
            Some((Reason::CrashLooping, text))
        }
        _ if state.terminated.is_some() => Some(crashed(pod, Some(state))),
        _ => None,
    }
}

fn crashed(pod: &str, state: Option<&ContainerState>) -> (Reason, String) {
    let ended = state.and_then(|state| state.terminated.as_ref());
    let said = ended
        .and_then(|ended| ended.message.as_deref())
        .unwrap_or("nothing");
    let last = said
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("nothing");
    let code = ended.map_or(0, |ended| ended.exit_code);
    let text = format!(
        "agent pod {pod} ends again and again, last with code {code}, saying: {last}. Correct \
         addons.konnectivity.agent.extraArgs if one of them is to blame"
    );
    (Reason::CrashLooping, text)
}

/// No pod has come so far that it could be connected.
fn starting(pods: &[Pod]) -> Option<(Reason, String)> {
    let runs = |container: &ContainerStatus| {
        container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some())
    };
    let started = pods.iter().any(|pod| {
        let status = pod.status.as_ref();
        let containers = status.and_then(|status| status.container_statuses.as_deref());
        containers.unwrap_or_default().iter().any(runs)
    });
    let name = pods.first()?.metadata.name.as_deref().unwrap_or_default();
    let text = format!(
        "agent pod {name} is being started by its node; when it stays so, its events in the tenant say what it lacks"
    );
    (!started).then_some((Reason::PodsNotReady, text))
}

/// The pods run and yet none is connected: what the other end knows decides.
fn silent(agents: usize, evidence: &Evidence) -> (Reason, String) {
    if let Some(webhook) = &evidence.blocking_webhook {
        let text = format!(
            "{agents} agents run and none is connected: webhook {webhook} in the tenant has to admit the TokenReview by \
             which agents are recognised, and may itself be reached only through the tunnel. Delete it, or exclude \
             authentication.k8s.io from its rules, or give it failurePolicy Ignore"
        );
        return (Reason::AdmissionBlocksAgents, text);
    }
    if evidence.refused > 0 {
        let text = format!(
            "{agents} agents run and konnectivity-server has refused {} of their tokens: they must come from ServiceAccount \
             kube-system/konnectivity-agent of this very tenant, for the audience system:konnectivity-server. Look at the \
             log of container konnectivity-server; delete the agents' pods to have fresh tokens",
            evidence.refused
        );
        return (Reason::AgentNotAuthenticated, text);
    }
    let text = format!(
        "{agents} agents run and none is connected: nodes must reach the control plane's endpoint on the port of \
         addons.konnectivity.server. Check firewalls on the way, then on a node \
         `crictl logs $(crictl ps -a -q --name konnectivity-agent | head -1)`"
    );
    (Reason::NoAgentConnected, text)
}

#[cfg(test)]
mod tests;
