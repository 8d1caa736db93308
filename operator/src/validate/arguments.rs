//! Arguments that a user adds to our containers, and those that only we set.
//!
//! In: every `extraArgs` list. Out: what is no argument is refused; what we set ourselves stays as
//! we set it, with a warning, because manifests that were accepted elsewhere must go on to be.

use super::{Review, syntax};
use crate::api::Reason;
use crate::api::tenant_control_plane::TenantControlPlaneSpec;

/// A program that takes further arguments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Component {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kine.
    Kine,
    /// konnectivity-server.
    Server,
    /// konnectivity-agent.
    Agent,
}

impl Component {
    /// Flags whose value the operator alone decides.
    const fn managed(self) -> &'static [&'static str] {
        match self {
            Self::ApiServer => API_SERVER,
            Self::Scheduler => SCHEDULER,
            Self::Server => SERVER,
            Self::Kine => &["endpoint"],
            // Users may replace whatever we set for these two, as ever.
            Self::ControllerManager | Self::Agent => &[],
        }
    }
}

/// Whether the operator alone decides the value of that flag, which is named without hyphens.
pub fn is_managed(component: Component, flag: &str) -> bool {
    component.managed().contains(&flag)
}

const API_SERVER: &[&str] = &[
    "advertise-address",
    "client-ca-file",
    "egress-selector-config-file",
    "enable-admission-plugins",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-compaction-interval",
    "etcd-keyfile",
    "etcd-prefix",
    "etcd-servers",
    "etcd-servers-overrides",
    "kubelet-client-certificate",
    "kubelet-client-key",
    "kubelet-preferred-address-types",
    "proxy-client-cert-file",
    "proxy-client-key-file",
    "requestheader-allowed-names",
    "requestheader-client-ca-file",
    "secure-port",
    "service-account-key-file",
    "service-account-signing-key-file",
    "service-cluster-ip-range",
    "tls-cert-file",
    "tls-private-key-file",
];

const SCHEDULER: &[&str] = &[
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "bind-address",
    "kubeconfig",
    "leader-elect",
];

const SERVER: &[&str] = &[
    "admin-port",
    "agent-namespace",
    "agent-port",
    "agent-service-account",
    "authentication-audience",
    "cluster-cert",
    "cluster-key",
    "health-port",
    "kubeconfig",
    "mode",
    "peer-ca-cert",
    "peer-cert",
    "peer-dns",
    "peer-key",
    "peer-port",
    "server-count",
    "server-port",
    "uds-name",
];

pub(super) fn review(spec: &TenantControlPlaneSpec, review: &mut Review) {
    let args = &spec.control_plane.deployment.extra_args;
    let base = "spec.controlPlane.deployment.extraArgs";
    list(
        Component::ApiServer,
        &format!("{base}.apiServer"),
        &args.api_server,
        review,
    );
    list(
        Component::ControllerManager,
        &format!("{base}.controllerManager"),
        &args.controller_manager,
        review,
    );
    list(
        Component::Scheduler,
        &format!("{base}.scheduler"),
        &args.scheduler,
        review,
    );
    list(Component::Kine, &format!("{base}.kine"), &args.kine, review);
    if let Some(konnectivity) = &spec.addons.konnectivity {
        let base = "spec.addons.konnectivity";
        list(
            Component::Server,
            &format!("{base}.server.extraArgs"),
            &konnectivity.server.extra_args,
            review,
        );
        list(
            Component::Agent,
            &format!("{base}.agent.extraArgs"),
            &konnectivity.agent.extra_args,
            review,
        );
    }
}

fn list(component: Component, field: &str, arguments: &[String], review: &mut Review) {
    for (index, argument) in arguments.iter().enumerate() {
        let field = format!("{field}[{index}]");
        match syntax::flag_of(argument) {
            None => {
                let message =
                    "is no argument, and the program would not start; write it as --flag=value";
                review.refuse(field, argument, message);
            }
            Some(flag) if is_managed(component, flag) => {
                let message = format!(
                    "--{flag} is set by the operator and this value has no effect; remove it"
                );
                review.warn(Reason::NotActedOn, field, message);
            }
            Some(_) => {}
        }
    }
}
