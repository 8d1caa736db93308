//! [`Settings`]: what the program runs by, complete and typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::LogFormat;
use crate::tenant::Reach;
use crate::tenant_control_plane::control_plane::Defaults;
use crate::validate::Limits;

/// What the program runs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the operator.
    pub namespace: String,
    /// Name of this pod.
    pub pod_name: String,
    /// Kubeconfig of the management cluster, when one is named.
    pub kubeconfig: Option<PathBuf>,
    /// What tenants get that do not choose.
    pub defaults: Defaults,
    /// What the management cluster allows.
    pub limits: Limits,
    /// From where tenants are dialled.
    pub reach: Reach,
    /// Tenants worked on at the same time.
    pub concurrency: u16,
    /// Longest time of one pass.
    pub deadline: Duration,
    /// Whether the operator applies its own CRDs.
    pub install_crds: bool,
    /// Whether a Lease decides who works.
    pub leader_elect: bool,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where health is served.
    pub health: Option<SocketAddr>,
    /// Whether and how manifests are checked on admission.
    pub admission: Option<Admission>,
    /// Form of log lines.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_filter: String,
    /// Flags that were given and do nothing.
    pub without_effect: Vec<&'static str>,
}

/// The validating webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its certificate comes from.
    pub certificate: Certificate,
}

/// Where the webhook's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// The operator makes it, keeps it in a Secret and tells the API server whom to trust.
    SelfManaged {
        /// The Secret.
        secret: String,
        /// The `ValidatingWebhookConfiguration`.
        configuration: String,
        /// The Service that the certificate names.
        service: String,
    },
    /// Somebody else keeps `tls.crt` and `tls.key` in this directory.
    Directory(PathBuf),
}
