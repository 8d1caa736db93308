//! kube-scheduler.

use k8s_openapi::api::core::v1::Container;

use crate::tenant_control_plane::control_plane::ControlPlane;
use crate::validate::Component;

use super::arguments::{Argument, merge};
use super::container::{self, Capability, Program};
use super::probes::{self, Health};
use super::volumes::{self, DIRECTORY};

const PORT: u16 = 10259;

pub(super) fn build(control_plane: &ControlPlane) -> Container {
    let pods = &control_plane.pods;
    let health = Health {
        port: PORT,
        scheme: "HTTPS",
        startup: "/healthz",
        liveness: "/healthz",
        readiness: Some("/healthz"),
    };
    let program = Program {
        name: "kube-scheduler",
        image: container::kubernetes_image(control_plane, |settings| &settings.scheduler_image),
        command: "kube-scheduler",
        arguments: merge(Component::Scheduler, flags(), &pods.extra_args.scheduler),
        probes: probes::of(health, &pods.probes, pods.probes.scheduler),
        capability: Capability::None,
        requests: ["10m", "48Mi"],
        resources: pods.resources.scheduler.as_ref(),
        security: pods.container_security_contexts.scheduler.as_ref(),
        mounts: [
            &pods.additional_volume_mounts.scheduler,
            &volumes::of_scheduler(),
        ],
    };
    container::of(control_plane, program)
}

fn flags() -> Vec<Argument> {
    let kubeconfig = format!("{DIRECTORY}/scheduler.conf");
    vec![
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig.clone()),
        ("bind-address", "0.0.0.0".to_owned()),
        ("kubeconfig", kubeconfig),
        ("leader-elect", "true".to_owned()),
    ]
}
