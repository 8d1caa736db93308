//! Rules about the tunnel and the other addons.
//!
//! In: `spec.addons`, and kube-apiserver's arguments where the tunnel carries what they configure.
//! Out: what breaks a rule.

use super::{Review, syntax};
use crate::api::Reason;
use crate::api::tenant_control_plane::{
    AgentMode, ImageOverride, KonnectivityAgent, TenantControlPlaneSpec,
};

const BASE: &str = "spec.addons.konnectivity";

/// Arguments with which kube-apiserver dials somebody for itself. The egress selection
/// `controlplane` decides where from.
const DIALS_FOR_ITSELF: &[&str] = &[
    "audit-webhook-config-file",
    "authentication-config",
    "authentication-token-webhook-config-file",
    "authorization-config",
    "authorization-webhook-config-file",
    "oidc-issuer-url",
    "tracing-config-file",
];

pub(super) fn review(spec: &TenantControlPlaneSpec, review: &mut Review) {
    let addons = &spec.addons;
    image_override("coreDNS", addons.core_dns.as_ref(), review);
    image_override("kubeProxy", addons.kube_proxy.as_ref(), review);
    let Some(konnectivity) = &addons.konnectivity else {
        return;
    };
    agent(&konnectivity.agent, review);
    let server = &konnectivity.server;
    image("server", &server.image, server.version.as_deref(), review);
    image(
        "agent",
        &konnectivity.agent.image,
        konnectivity.agent.version.as_deref(),
        review,
    );
    if server.control_plane_egress.is_none() {
        egress(spec, review);
    }
}

fn agent(agent: &KonnectivityAgent, review: &mut Review) {
    let field = format!("{BASE}.agent.replicas");
    match (agent.mode, agent.replicas) {
        (_, Some(replicas)) if replicas < 0 => {
            review.refuse(field, replicas, "cannot be negative; write 1 or more");
        }
        (AgentMode::DaemonSet, Some(replicas)) if replicas != 0 => {
            let message =
                "a DaemonSet has one agent on each node; remove replicas or set mode to Deployment";
            review.refuse(field, replicas, message);
        }
        (AgentMode::Deployment, Some(0)) => {
            let message = "0 agents carry nothing; set 1 or more, or remove addons.konnectivity";
            review.refuse(field, 0, message);
        }
        (AgentMode::DaemonSet | AgentMode::Deployment, _) => {}
    }
}

fn image(part: &str, image: &str, version: Option<&str>, review: &mut Review) {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.is_empty() || image.contains("://") || image.contains(char::is_whitespace) {
        let message =
            "is no image; write one such as registry.example.com/path/name, or remove the field";
        review.refuse(format!("{BASE}.{part}.image"), image, message);
    } else if let Some((_, tag)) = last.split_once([':', '@']) {
        let message = format!(
            "has a tag or digest, and the version is put behind it; write {tag:?} into {part}.version"
        );
        review.refuse(format!("{BASE}.{part}.image"), image, message);
    }
    if let Some(version) = version.filter(|version| !is_tag(version)) {
        let message = "is no tag; use at most 128 letters, digits, ., _ and -, or remove the field";
        review.refuse(format!("{BASE}.{part}.version"), version, message);
    }
}

/// Empty means unset, as ever.
fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn image_override(addon: &str, image: Option<&ImageOverride>, review: &mut Review) {
    let Some(image) = image else { return };
    if let Some(tag) = image.image_tag.as_deref().filter(|tag| !is_tag(tag)) {
        let message = "is no tag; use at most 128 letters, digits, ., _ and -, or remove the field";
        review.refuse(format!("spec.addons.{addon}.imageTag"), tag, message);
    }
    if let Some(repository) = &image.image_repository
        && (repository.contains("://") || repository.contains(char::is_whitespace))
    {
        let message = "is no repository; write one such as registry.k8s.io, or remove the field";
        review.refuse(
            format!("spec.addons.{addon}.imageRepository"),
            repository,
            message,
        );
    }
}

fn egress(spec: &TenantControlPlaneSpec, review: &mut Review) {
    for (index, argument) in spec
        .control_plane
        .deployment
        .extra_args
        .api_server
        .iter()
        .enumerate()
    {
        let Some(flag) = syntax::flag_of(argument).filter(|flag| DIALS_FOR_ITSELF.contains(flag))
        else {
            continue;
        };
        let message = format!(
            "--{flag} is dialled through the tunnel, from the tenant's network; set \
             addons.konnectivity.server.controlPlaneEgress to Tunnel if that is meant, or to Direct \
             to dial from here"
        );
        let field = format!("spec.controlPlane.deployment.extraArgs.apiServer[{index}]");
        review.warn(Reason::EgressUnstated, field, message);
    }
}
