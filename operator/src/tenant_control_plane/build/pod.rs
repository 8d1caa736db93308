//! The pod: our containers in the order of the contract, and the user's before them.

use k8s_openapi::api::core::v1::{
    Container, PodSecurityContext, PodSpec, SeccompProfile, TopologySpreadConstraint,
};

use crate::labels;
use crate::tenant_control_plane::control_plane::ControlPlane;

use super::{Serving, api_server, controller_manager, scheduler, tunnel_server, volumes};

/// Seconds between SIGTERM and SIGKILL: more than the tunnel takes to drain.
const GRACE_PERIOD: i64 = 45;

pub(super) fn build(serving: Serving<'_>) -> PodSpec {
    let control_plane = serving.control_plane;
    let pods = &control_plane.pods;
    let mut volumes = pods.additional_volumes.clone();
    volumes.extend(volumes::always(&control_plane.names));
    if let Some(tunnel) = &control_plane.tunnel {
        volumes.extend(volumes::tunnel(&control_plane.names, &tunnel.image));
    }
    PodSpec {
        init_containers: some(&pods.additional_init_containers),
        containers: containers(serving),
        volumes: Some(volumes),
        service_account_name: Some(pods.service_account_name.clone()),
        // Nothing of ours asks the management cluster for anything.
        automount_service_account_token: Some(
            pods.automount_service_account_token.unwrap_or(false),
        ),
        enable_service_links: Some(false),
        security_context: Some(security_context(control_plane)),
        termination_grace_period_seconds: Some(GRACE_PERIOD),
        node_selector: (!pods.node_selector.is_empty()).then(|| pods.node_selector.clone()),
        runtime_class_name: pods.runtime_class_name.clone(),
        tolerations: some(&pods.tolerations),
        affinity: pods.affinity.clone(),
        topology_spread_constraints: Some(spread(control_plane)),
        ..PodSpec::default()
    }
}

fn some<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn containers(serving: Serving<'_>) -> Vec<Container> {
    let control_plane = serving.control_plane;
    let mut containers = control_plane.pods.additional_containers.clone();
    containers.push(api_server::build(serving));
    containers.push(scheduler::build(control_plane));
    containers.push(controller_manager::build(serving));
    let tunnel = control_plane.tunnel.as_ref();
    containers.extend(tunnel.map(|tunnel| tunnel_server::build(control_plane, tunnel)));
    containers
}

/// The user's own, or next to nothing: what our containers may do they state themselves, so that the user's containers
/// run as their images say.
fn security_context(control_plane: &ControlPlane) -> PodSecurityContext {
    let theirs = control_plane.pods.pod_security_context.clone();
    theirs.unwrap_or_else(|| PodSecurityContext {
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    })
}

/// The user's constraints, completed by our selector; without any, replicas prefer different nodes and zones.
fn spread(control_plane: &ControlPlane) -> Vec<TopologySpreadConstraint> {
    let selector = labels::label_selector(control_plane.names.name());
    let theirs = &control_plane.pods.topology_spread_constraints;
    if theirs.is_empty() {
        let keys = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];
        let prefer = keys.map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selector.clone()),
            ..TopologySpreadConstraint::default()
        });
        return prefer.to_vec();
    }
    let completed = theirs
        .iter()
        .cloned()
        .map(|constraint| TopologySpreadConstraint {
            label_selector: constraint.label_selector.or_else(|| Some(selector.clone())),
            ..constraint
        });
    completed.collect()
}
