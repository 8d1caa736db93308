//! kube-controller-manager. The only container that holds the key of the cluster authority: it signs nodes' requests.

use k8s_openapi::api::core::v1::Container;

use crate::validate::Component;

use super::Serving;
use super::arguments::{Argument, merge};
use super::config_maps::joined;
use super::container::{self, Capability, Program};
use super::probes::{self, Health};
use super::volumes::{self, DIRECTORY, PKI};

const PORT: u16 = 10257;

pub(super) fn build(serving: Serving<'_>) -> Container {
    let control_plane = serving.control_plane;
    let pods = &control_plane.pods;
    let health = Health {
        port: PORT,
        scheme: "HTTPS",
        startup: "/healthz",
        liveness: "/healthz",
        readiness: Some("/healthz"),
    };
    let program = Program {
        name: "kube-controller-manager",
        image: container::kubernetes_image(control_plane, |settings| {
            &settings.controller_manager_image
        }),
        command: "kube-controller-manager",
        arguments: merge(
            Component::ControllerManager,
            flags(serving),
            &pods.extra_args.controller_manager,
        ),
        probes: probes::of(health, &pods.probes, pods.probes.controller_manager),
        capability: Capability::None,
        requests: ["25m", "64Mi"],
        resources: pods.resources.controller_manager.as_ref(),
        security: pods.container_security_contexts.controller_manager.as_ref(),
        mounts: [
            &pods.additional_volume_mounts.controller_manager,
            &volumes::of_controller_manager(),
        ],
    };
    container::of(control_plane, program)
}

fn flags(serving: Serving<'_>) -> Vec<Argument> {
    let control_plane = serving.control_plane;
    let network = &control_plane.network;
    let kubeconfig = format!("{DIRECTORY}/controller-manager.conf");
    let authority = format!("{PKI}/ca.crt");
    vec![
        ("allocate-node-cidrs", "true".to_owned()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig.clone()),
        ("bind-address", "0.0.0.0".to_owned()),
        ("client-ca-file", authority.clone()),
        ("cluster-cidr", joined(&network.pod_cidrs)),
        ("cluster-name", control_plane.names.name().to_owned()),
        ("cluster-signing-cert-file", authority.clone()),
        ("cluster-signing-key-file", format!("{PKI}/ca.key")),
        ("controllers", "*,bootstrapsigner,tokencleaner".to_owned()),
        ("kubeconfig", kubeconfig),
        ("leader-elect", "true".to_owned()),
        (
            "requestheader-client-ca-file",
            format!("{PKI}/front-proxy-ca.crt"),
        ),
        ("root-ca-file", authority),
        ("service-account-private-key-file", format!("{PKI}/sa.key")),
        ("service-cluster-ip-range", joined(&network.service_cidrs)),
        ("use-service-account-credentials", "true".to_owned()),
    ]
}
