//! konnectivity-agent: as DaemonSet or as Deployment, from one pod template.
//!
//! The pod dials out and is reached by nobody but the kubelet's probes. It finds kube-apiserver at the tenant's
//! endpoint, not at the Service address: an agent must run before kube-proxy, DNS and, on the node's network, CNI do.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ProjectedVolumeSource, ServiceAccountTokenProjection, Toleration, TopologySpreadConstraint,
    Volume, VolumeProjection,
};

use super::pod::{self, from_pod, mount, probe, read_only, variable};
use super::rbac::{account, granted, rule, service_account, within};
use super::{SYSTEM, agent_args, tunnel_server};
use crate::tenant::inputs::{Agent, Placement, PodNetwork, TenantInputs};
use crate::tenant::object::TenantObject;

/// Name of the workload, its service account, its container and both its labels.
pub(super) const NAME: &str = "konnectivity-agent";
/// Where the agent's token appears.
pub(super) const TOKEN_DIRECTORY: &str = "/var/run/secrets/tokens";
/// The token's file, and its volume.
pub(super) const TOKEN: &str = "konnectivity-agent-token";
/// Health and metrics. The reference's packages use this port everywhere.
pub(super) const HEALTH_PORT: u16 = 8134;
/// Debugging, bound to loopback.
pub(super) const ADMIN_PORT: u16 = 8133;
/// Nobody.
const USER: i64 = 65532;

/// Service account, grants and workload, in this order.
pub(super) fn objects(inputs: &TenantInputs, agent: &Agent) -> Vec<TenantObject> {
    let counting = rule(
        "coordination.k8s.io",
        "leases",
        &[],
        &["get", "list", "watch"],
    );
    let mut objects = vec![account(NAME, NAME)];
    objects.extend(granted(
        NAME,
        &within(SYSTEM, NAME),
        vec![counting],
        vec![service_account(NAME)],
    ));
    objects.push(match agent.placement {
        Placement::EveryNode => TenantObject::new(NAME, daemon_set(inputs, agent)),
        Placement::Replicas(replicas) => {
            TenantObject::new(NAME, deployment(inputs, agent, replicas))
        }
    });
    objects
}

fn daemon_set(inputs: &TenantInputs, agent: &Agent) -> DaemonSet {
    let mut metadata = within(SYSTEM, NAME);
    metadata.labels = Some(labels());
    DaemonSet {
        metadata,
        spec: Some(DaemonSetSpec {
            selector: pod::selector(selected()),
            template: template(inputs, agent),
            ..DaemonSetSpec::default()
        }),
        status: None,
    }
}

fn deployment(inputs: &TenantInputs, agent: &Agent, replicas: Option<i32>) -> Deployment {
    let mut metadata = within(SYSTEM, NAME);
    metadata.labels = Some(labels());
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas,
            selector: pod::selector(selected()),
            template: template(inputs, agent),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// Both spellings: documents and dashboards use one or the other.
fn labels() -> std::collections::BTreeMap<String, String> {
    pod::labels(&[("app", NAME), ("k8s-app", NAME)])
}

/// A selector never changes, and workloads left by Kamaji select by this label alone.
fn selected() -> std::collections::BTreeMap<String, String> {
    pod::labels(&[("k8s-app", NAME)])
}

fn template(inputs: &TenantInputs, agent: &Agent) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(pod::template_metadata(labels())),
        spec: Some(PodSpec {
            containers: vec![container(inputs, agent)],
            host_network: (agent.network == PodNetwork::Host).then_some(true),
            node_selector: Some(pod::labels(&[("kubernetes.io/os", "linux")])),
            priority_class_name: Some("system-cluster-critical".to_owned()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                ..PodSecurityContext::default()
            }),
            service_account_name: Some(NAME.to_owned()),
            tolerations: Some(tolerations(agent)),
            topology_spread_constraints: spread(agent.placement),
            volumes: Some(vec![token()]),
            ..PodSpec::default()
        }),
    }
}

/// The user's, and for a Deployment on the nodes' network those that a DaemonSet's pods are given anyway: the tunnel
/// may be what a node needs to become ready.
fn tolerations(agent: &Agent) -> Vec<Toleration> {
    let early = match (agent.placement, agent.network) {
        (Placement::Replicas(_), PodNetwork::Host) => &[
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/network-unavailable",
        ][..],
        (Placement::Replicas(_) | Placement::EveryNode, _) => &[],
    };
    let early = early.iter().map(|key| Toleration {
        key: Some((*key).to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoSchedule".to_owned()),
        ..Toleration::default()
    });
    agent.tolerations.iter().cloned().chain(early).collect()
}

fn spread(placement: Placement) -> Option<Vec<TopologySpreadConstraint>> {
    match placement {
        Placement::EveryNode => None,
        Placement::Replicas(_) => Some(vec![TopologySpreadConstraint {
            label_selector: Some(pod::selector(selected())),
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            ..TopologySpreadConstraint::default()
        }]),
    }
}

fn token() -> Volume {
    Volume {
        name: TOKEN.to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(ServiceAccountTokenProjection {
                    audience: Some(tunnel_server::IDENTITY.to_owned()),
                    expiration_seconds: Some(3600),
                    path: TOKEN.to_owned(),
                }),
                ..VolumeProjection::default()
            }]),
            default_mode: None,
        }),
        ..Volume::default()
    }
}

fn container(inputs: &TenantInputs, agent: &Agent) -> Container {
    Container {
        name: NAME.to_owned(),
        image: Some(agent.image.reference().to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["/proxy-agent".to_owned()]),
        args: Some(agent_args::render(inputs, agent)),
        env: Some(vec![
            from_pod("NODE_NAME", "spec.nodeName"),
            from_pod("HOST_IP", "status.hostIP"),
            variable("KUBERNETES_SERVICE_HOST", inputs.endpoint.host.clone()),
            variable("KUBERNETES_SERVICE_PORT", inputs.endpoint.port.to_string()),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("healthport".to_owned()),
            container_port: HEALTH_PORT.into(),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(15),
            timeout_seconds: Some(15),
            ..probe("/healthz", HEALTH_PORT)
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(5),
            ..probe("/readyz", HEALTH_PORT)
        }),
        resources: Some(
            agent
                .resources
                .clone()
                .unwrap_or_else(|| pod::burstable("50m", "32Mi", "256Mi")),
        ),
        security_context: Some(pod::confined(&[])),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![read_only(mount(TOKEN, TOKEN_DIRECTORY))]),
        ..Container::default()
    }
}
