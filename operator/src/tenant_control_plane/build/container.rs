//! What our containers have in common: image, security settings, resources.
//!
//! They run as one unprivileged user without capabilities on a read-only root. kube-apiserver alone is given
//! `NET_BIND_SERVICE`: upstream's binary carries it as a file capability, and the kernel refuses to start a file
//! whose capabilities are out of reach, whether it uses them or not. The restricted pod security standard allows it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ResourceRequirements, SeccompProfile, SecurityContext, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::tenant_control_plane::RegistrySettings;
use crate::tenant_control_plane::control_plane::ControlPlane;

use super::probes::ContainerProbes;

/// Everyone's user and group: `nonroot` in images without a shell.
pub(super) const USER: i64 = 65532;

/// Pull policy of our containers. Images are named by version or digest, so one that is there is the right one;
/// Kamaji pulls anew for each container start, which makes a registry a dependency of every restart.
const PULL_POLICY: &str = "IfNotPresent";

/// What a container may do beyond nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    None,
    NetBindService,
}

/// What differs between containers.
#[derive(Debug, Clone)]
pub(super) struct Program<'a> {
    pub(super) name: &'static str,
    pub(super) image: String,
    pub(super) command: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) probes: ContainerProbes,
    pub(super) capability: Capability,
    /// CPU and memory asked for when the user states none.
    pub(super) requests: [&'static str; 2],
    pub(super) resources: Option<&'a ResourceRequirements>,
    pub(super) security: Option<&'a SecurityContext>,
    /// The user's mounts come first: a part of the contract that patches rely on.
    pub(super) mounts: [&'a [VolumeMount]; 2],
}

/// Puts a container together.
pub(super) fn of(control_plane: &ControlPlane, program: Program<'_>) -> Container {
    let security = program.security.cloned();
    let resources = program.resources.cloned();
    Container {
        name: program.name.to_owned(),
        image: Some(program.image),
        image_pull_policy: Some(PULL_POLICY.to_owned()),
        command: Some(vec![program.command.to_owned()]),
        args: Some(program.arguments),
        startup_probe: program.probes.startup,
        liveness_probe: program.probes.liveness,
        readiness_probe: program.probes.readiness,
        resources: Some(resources.unwrap_or_else(|| requests(program.requests))),
        security_context: Some(
            security.unwrap_or_else(|| restricted(control_plane, program.capability)),
        ),
        volume_mounts: Some(program.mounts.concat()),
        ..Container::default()
    }
}

/// An image of Kubernetes itself.
pub(super) fn kubernetes_image(
    control_plane: &ControlPlane,
    image: fn(&RegistrySettings) -> &str,
) -> String {
    let settings = &control_plane.pods.registry_settings;
    let suffix = settings.tag_suffix.as_deref().unwrap_or_default();
    format!(
        "{}/{}:{}{suffix}",
        settings.registry,
        image(settings),
        control_plane.version
    )
}

/// Requests without limits: a control plane that may borrow idle CPU starts in a fraction of the time, and one that
/// is killed for memory takes its tenant with it. Limits are the user's to set.
fn requests([cpu, memory]: [&str; 2]) -> ResourceRequirements {
    let requests = [("cpu", cpu), ("memory", memory)];
    ResourceRequirements {
        requests: Some(BTreeMap::from(requests.map(|(resource, amount)| {
            (resource.to_owned(), Quantity(amount.to_owned()))
        }))),
        ..ResourceRequirements::default()
    }
}

/// When the user sets the pod's security context, who the containers run as is the user's affair too.
fn restricted(control_plane: &ControlPlane, capability: Capability) -> SecurityContext {
    let user = control_plane
        .pods
        .pod_security_context
        .is_none()
        .then_some(USER);
    let add = match capability {
        Capability::None => None,
        Capability::NetBindService => Some(vec!["NET_BIND_SERVICE".to_owned()]),
    };
    SecurityContext {
        run_as_user: user,
        run_as_group: user,
        run_as_non_root: user.map(|_| true),
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            add,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}
