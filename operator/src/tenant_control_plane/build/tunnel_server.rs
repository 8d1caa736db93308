//! konnectivity-server, beside kube-apiserver and reached by it over a Unix socket.
//!
//! Its probes ask `/healthz` alone. `/readyz` says whether an agent is connected, and no agent can be before the
//! Service has endpoints: a readiness probe on it would close the circle. How many replicas there are stands nowhere
//! here: servers announce themselves by Leases in the tenant, and scaling rolls no pod.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector,
};

use crate::api::tenant_control_plane::Probes;
use crate::names::Names;
use crate::tenant_control_plane::control_plane::{ControlPlane, Tunnel, TunnelImage};
use crate::validate::Component;

use super::api_server;
use super::arguments::{Argument, merge};
use super::config_maps::mode;
use super::container::{self, Capability, Program};
use super::probes::{self, Health};
use super::volumes::{self, PEER_FILES, PKI};

/// Where kube-apiserver dials the server.
pub const SOCKET: &str = "/run/konnectivity/konnectivity-server.socket";
/// Port of `/metrics` and profiles, on the loopback address.
pub const ADMIN_PORT: u16 = 8133;
/// Port of `/healthz`, `/readyz` and `/metrics`.
pub const HEALTH_PORT: u16 = 8134;
/// Port on which the servers of other replicas dial it.
pub(super) const PEER_PORT: u16 = 8135;
/// `ServiceAccount` of agents, in `kube-system` of the tenant.
pub const AGENT_ACCOUNT: &str = "konnectivity-agent";
/// Audience of agents' tokens.
pub const AUDIENCE: &str = "system:konnectivity-server";

/// How long the server waits for its frontends to leave; less than the pod's grace period.
const DRAIN: &str = "30s";
/// Name of the environment variable with the pod's UID.
const POD_UID: &str = "POD_UID";

pub(super) fn build(control_plane: &ControlPlane, tunnel: &Tunnel) -> Container {
    let health = Health {
        port: HEALTH_PORT,
        scheme: "HTTP",
        startup: "/healthz",
        liveness: "/healthz",
        readiness: None,
    };
    let program = Program {
        name: "konnectivity-server",
        image: tunnel.image.reference().to_owned(),
        command: "/proxy-server",
        arguments: merge(
            Component::Server,
            flags(control_plane, tunnel),
            &tunnel.extra_args,
        ),
        // The probe timings of the API are those of Kubernetes' own programs.
        probes: probes::of(health, &Probes::default(), None),
        capability: Capability::None,
        requests: ["10m", "32Mi"],
        resources: tunnel.resources.as_ref(),
        security: tunnel.security_context.as_ref(),
        mounts: [&[], &volumes::of_tunnel_server()],
    };
    let mut ports = vec![
        port("agentport", tunnel.port),
        port("adminport", ADMIN_PORT),
        port("healthport", HEALTH_PORT),
    ];
    if control_plane.has_peers() {
        ports.push(port("knp-peer", PEER_PORT));
    }
    Container {
        env: Some(vec![pod_uid()]),
        ports: Some(ports),
        ..container::of(control_plane, program)
    }
}

fn flags(control_plane: &ControlPlane, tunnel: &Tunnel) -> Vec<Argument> {
    let mut flags = vec![
        ("admin-port", ADMIN_PORT.to_string()),
        ("agent-namespace", "kube-system".to_owned()),
        ("agent-port", tunnel.port.to_string()),
        ("agent-service-account", AGENT_ACCOUNT.to_owned()),
        ("authentication-audience", AUDIENCE.to_owned()),
        (
            "cluster-cert",
            "/etc/kubernetes/pki/konnectivity-server.crt".to_owned(),
        ),
        (
            "cluster-key",
            "/etc/kubernetes/pki/konnectivity-server.key".to_owned(),
        ),
        ("health-port", HEALTH_PORT.to_string()),
        (
            "kubeconfig",
            "/etc/kubernetes/konnectivity-server.conf".to_owned(),
        ),
        ("mode", mode(tunnel.protocol).to_owned()),
        ("server-id", format!("$({POD_UID})")),
        ("server-port", "0".to_owned()),
        ("uds-name", SOCKET.to_owned()),
    ];
    let ours = matches!(tunnel.image, TunnelImage::Ours(_));
    if tunnel
        .image
        .counts_leases(control_plane.version.minor().into())
    {
        flags.push(("enable-lease-controller", "true".to_owned()));
    }
    if ours {
        flags.push(("graceful-shutdown-timeout", DRAIN.to_owned()));
        flags.extend(token_checks(control_plane));
        flags.extend(peers(&control_plane.names));
    }
    flags
}

/// How servers find and believe each other. They read the files again when these change.
fn peers(names: &Names) -> [Argument; 5] {
    let file = |name| format!("{PEER_FILES}/{name}");
    [
        ("peer-ca-cert", file("ca.crt")),
        ("peer-cert", file("tls.crt")),
        ("peer-dns", format!("{}:{PEER_PORT}", names.peers_host())),
        ("peer-key", file("tls.key")),
        ("peer-port", PEER_PORT.to_string()),
    ]
}

/// Agents are let in by the key that signed their tokens, in whatever state kube-apiserver is; a review afterwards
/// finds the revoked ones.
fn token_checks(control_plane: &ControlPlane) -> Vec<Argument> {
    let issuers = api_server::issuers(control_plane).into_iter();
    let issuers = issuers.map(|issuer| ("service-account-issuer", issuer));
    let mut flags = vec![
        ("review-accepted-tokens", "true".to_owned()),
        ("service-account-public-key-file", format!("{PKI}/sa.pub")),
    ];
    flags.extend(issuers);
    flags
}

/// The server's identity is the pod's: unique, and the same after a restart of the container.
fn pod_uid() -> EnvVar {
    EnvVar {
        name: POD_UID.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.uid".to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn port(name: &str, port: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}
