//! kube-apiserver.
//!
//! Flags are those Kamaji sets, so that a control plane taken over goes on as it was: the token issuer, for one, is
//! not made of the cluster's domain, because tokens that are out there carry the old one.

use k8s_openapi::api::core::v1::Container;

use crate::api::tenant_control_plane::AddressType;
use crate::names::key;
use crate::tenant_control_plane::control_plane::ControlPlane;
use crate::validate::Component;

use super::Serving;
use super::arguments::{Argument, merge};
use super::config_maps::joined;
use super::container::{self, Capability, Program};
use super::probes::{self, Health};
use super::volumes::{self, EGRESS, PKI};

/// A file of authorizers excludes the flag that lists them.
const AUTHORIZATION_CONFIG: &str = "--authorization-config";
/// Who issues service-account tokens, unless the user names others.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The flag that says so; it may be given several times, and the first signs.
const ISSUER_FLAG: &str = "service-account-issuer";

pub(super) fn build(serving: Serving<'_>) -> Container {
    let control_plane = serving.control_plane;
    let pods = &control_plane.pods;
    let health = Health {
        port: serving.endpoint.port,
        scheme: "HTTPS",
        startup: "/livez",
        liveness: "/livez",
        readiness: Some("/readyz"),
    };
    let mut mounts = volumes::of_api_server();
    if control_plane.tunnel.is_some() {
        mounts.extend(volumes::of_api_server_for_tunnel());
    }
    let program = Program {
        name: "kube-apiserver",
        image: container::kubernetes_image(control_plane, |settings| &settings.api_server_image),
        command: "kube-apiserver",
        arguments: merge(
            Component::ApiServer,
            flags(serving),
            &pods.extra_args.api_server,
        ),
        probes: probes::of(health, &pods.probes, pods.probes.api_server),
        capability: Capability::NetBindService,
        requests: ["100m", "256Mi"],
        resources: pods.resources.api_server.as_ref(),
        security: pods.container_security_contexts.api_server.as_ref(),
        mounts: [&pods.additional_volume_mounts.api_server, &mounts],
    };
    container::of(control_plane, program)
}

/// Whoever may have issued a service-account token that kube-apiserver accepts.
pub(super) fn issuers(control_plane: &ControlPlane) -> Vec<String> {
    let given = control_plane.pods.extra_args.api_server.iter();
    let theirs: Vec<_> = given
        .filter_map(|argument| argument.trim_start_matches('-').split_once('='))
        .filter(|(flag, _)| *flag == ISSUER_FLAG)
        .map(|(_, issuer)| issuer.to_owned())
        .collect();
    if theirs.is_empty() {
        vec![ISSUER.to_owned()]
    } else {
        theirs
    }
}

fn flags(serving: Serving<'_>) -> Vec<Argument> {
    let control_plane = serving.control_plane;
    let addresses: Vec<_> = control_plane
        .kubelet_addresses
        .iter()
        .map(|address| AddressType::as_str(*address))
        .collect();
    let mut flags = vec![
        ("advertise-address", serving.endpoint.advertise.to_string()),
        (
            "enable-admission-plugins",
            control_plane.admission_plugins.join(","),
        ),
        ("kubelet-preferred-address-types", addresses.join(",")),
        ("secure-port", serving.endpoint.port.to_string()),
        (
            "service-cluster-ip-range",
            joined(&control_plane.network.service_cidrs),
        ),
    ];
    flags.retain(|(_, value)| !value.is_empty());
    flags.extend(certificates());
    flags.extend(store(serving));
    flags.extend(defaults(&control_plane.pods.extra_args.api_server));
    if control_plane.tunnel.is_some() {
        flags.push((
            "egress-selector-config-file",
            format!("{EGRESS}/{}", key::EGRESS_SELECTOR),
        ));
    }
    flags
}

fn certificates() -> impl Iterator<Item = Argument> {
    let files = [
        ("client-ca-file", "ca.crt"),
        ("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
        ("kubelet-client-key", "apiserver-kubelet-client.key"),
        ("proxy-client-cert-file", "front-proxy-client.crt"),
        ("proxy-client-key-file", "front-proxy-client.key"),
        ("requestheader-client-ca-file", "front-proxy-ca.crt"),
        ("service-account-key-file", "sa.pub"),
        ("service-account-signing-key-file", "sa.key"),
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("etcd-cafile", "etcd/ca.crt"),
        ("etcd-certfile", "etcd/server.crt"),
        ("etcd-keyfile", "etcd/server.key"),
    ];
    files
        .into_iter()
        .map(|(flag, file)| (flag, format!("{PKI}/{file}")))
}

/// Compaction is the store's own affair: it is one for all tenants, so none of them asks for it.
fn store(serving: Serving<'_>) -> [Argument; 3] {
    [
        ("etcd-compaction-interval", "0".to_owned()),
        (
            "etcd-prefix",
            format!("/{}", serving.control_plane.tenancy.schema),
        ),
        ("etcd-servers", serving.etcd.endpoints.join(",")),
    ]
}

/// Flags the user may replace.
fn defaults(theirs: &[String]) -> impl Iterator<Item = Argument> {
    let modes = theirs
        .iter()
        .all(|argument| !argument.starts_with(AUTHORIZATION_CONFIG))
        .then_some(("authorization-mode", "Node,RBAC"));
    let always = [
        ("allow-privileged", "true"),
        ("enable-bootstrap-token-auth", "true"),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-username-headers", "X-Remote-User"),
        (ISSUER_FLAG, ISSUER),
    ];
    let flags = always.into_iter().chain(modes);
    flags.map(|(flag, value)| (flag, value.to_owned()))
}
