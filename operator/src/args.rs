//! What the program is told: in, flags and environment; out, [`Settings`] that are complete and typed.
//!
//! This is the only place that reads flags or the environment. Kamaji's flags keep their spelling; those that mean
//! nothing here are taken and named in the log, so that existing charts and scripts start this program.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};

use crate::tenant::Reach;
use crate::tenant_control_plane::control_plane::{Defaults, Images};
use crate::validate::Limits;

mod former;
mod read;
mod settings;

use former::Former;
use read::{Reader, duration, port_range};
pub use settings::{Admission, Certificate, Settings};

/// Runs Kubernetes control planes for tenants as pods of this cluster, and keeps their tunnels.
#[derive(Debug, Parser)]
#[command(
    name = "warren-operator",
    version,
    max_term_width = 100,
    args_override_self = true
)]
pub struct Args {
    /// Namespace the operator runs in: its Lease, Secrets and Service are there
    #[arg(
        long,
        visible_alias = "pod-namespace",
        env = "POD_NAMESPACE",
        default_value = "warren-system",
        help_heading = "Where"
    )]
    operator_namespace: String,

    /// Name of this pod: tells replicas apart in the Lease
    #[arg(
        long,
        env = "POD_NAME",
        default_value = "warren-operator",
        help_heading = "Where"
    )]
    pod_name: String,

    /// Kubeconfig of the management cluster; without it KUBECONFIG, then the pod's service account is used
    #[arg(long, help_heading = "Where")]
    kubeconfig: Option<PathBuf>,

    /// `DataStore` for tenants whose manifest names none
    #[arg(long, default_value = "default", help_heading = "Tenants")]
    datastore: String,

    /// Image of konnectivity-server for tenants that do not choose one
    #[arg(long, default_value = concat!("docker.io/warren/konnectivity:", env!("CARGO_PKG_VERSION")), help_heading = "Tenants")]
    konnectivity_server_image: String,

    /// Image of konnectivity-agent for tenants that do not choose one
    #[arg(long, default_value = concat!("docker.io/warren/konnectivity:", env!("CARGO_PKG_VERSION")), help_heading = "Tenants")]
    konnectivity_agent_image: String,

    /// Tenant control planes that are worked on at the same time
    #[arg(long, default_value_t = 8, help_heading = "Tenants")]
    max_concurrent_tcp_reconciles: u16,

    /// Ports that the cluster gives to `NodePort` Services, as its kube-apiserver is told
    #[arg(long, default_value = "30000-32767", help_heading = "Tenants")]
    service_node_port_range: String,

    /// How the operator itself reaches tenants: by their Service, from inside the cluster, or by the endpoint that nodes
    /// use, from anywhere
    #[arg(long, value_enum, default_value_t = ReachTenants::Service, help_heading = "Tenants")]
    reach_tenants: ReachTenants,

    /// Longest time one pass over one object may take, such as 30s or 2m
    #[arg(long, default_value = "30s", help_heading = "Tenants")]
    controller_reconcile_timeout: String,

    /// Apply the operator's `CustomResourceDefinitions` at start
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Start")]
    install_crds: bool,

    /// Work only while holding the Lease `kamaji.clastix.io`, so that one replica works at a time
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Start")]
    leader_elect: bool,

    /// Where /metrics is served; `0` turns it off
    #[arg(long, default_value = ":8080", help_heading = "Addresses")]
    metrics_bind_address: String,

    /// Where /livez, /healthz and /readyz are served; `0` turns them off
    #[arg(long, default_value = ":8081", help_heading = "Addresses")]
    health_probe_bind_address: String,

    /// Where the validating webhook is served; `0` turns it off
    #[arg(long, default_value = ":9443", help_heading = "Admission")]
    webhook_bind_address: String,

    /// Service through which the API server reaches the webhook: named in its certificate
    #[arg(long, default_value = "warren-webhook", help_heading = "Admission")]
    webhook_service_name: String,

    /// `ValidatingWebhookConfiguration` whose `caBundle` the operator keeps
    #[arg(long, default_value = "warren", help_heading = "Admission")]
    webhook_configuration_name: String,

    /// Secret that holds the webhook's self-managed certificate
    #[arg(
        long,
        default_value = "warren-webhook-certificate",
        help_heading = "Admission"
    )]
    webhook_secret_name: String,

    /// Directory with tls.crt and tls.key that somebody else keeps, such as cert-manager; the operator then manages
    /// neither certificate nor `caBundle`
    #[arg(long, help_heading = "Admission")]
    webhook_cert_dir: Option<PathBuf>,

    /// Form of log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Text, help_heading = "Log")]
    log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,operator=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info", help_heading = "Log")]
    log_level: String,

    #[command(flatten)]
    former: Former,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How the operator reaches tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReachTenants {
    /// By their Service.
    Service,
    /// By the endpoint that nodes use.
    Endpoint,
}

/// Everything that is wrong with the flags.
#[derive(Debug, thiserror::Error)]
#[error("{}", mistakes.join("\n"))]
pub struct BadArgs {
    /// One sentence each, with flag, value and remedy.
    pub mistakes: Vec<String>,
}

/// Where we listen.
struct Listeners {
    metrics: Option<SocketAddr>,
    health: Option<SocketAddr>,
    webhook: Option<SocketAddr>,
}

impl Args {
    /// Checks everything and reports all mistakes at once.
    pub fn settle(self) -> Result<Settings, BadArgs> {
        let mut read = Reader::default();
        let metrics = read.address("--metrics-bind-address", &self.metrics_bind_address);
        let health = read.address(
            "--health-probe-bind-address",
            &self.health_probe_bind_address,
        );
        let webhook = read.address("--webhook-bind-address", &self.webhook_bind_address);
        let range = &self.service_node_port_range;
        let help = "not a range of ports; write it like 30000-32767";
        let node_ports = read.read("--service-node-port-range", range, port_range(range), help);
        let timeout = &self.controller_reconcile_timeout;
        let help = "not a length of time; write it like 30s or 2m";
        let deadline = read.read(
            "--controller-reconcile-timeout",
            timeout,
            duration(timeout),
            help,
        );
        let at_once = self.max_concurrent_tcp_reconciles;
        let help = "nothing would be done; give at least 1";
        read.read(
            "--max-concurrent-tcp-reconciles",
            &at_once.to_string(),
            (at_once > 0).then_some(()),
            help,
        );
        let namespace = &self.operator_namespace;
        let help = "empty; name the namespace the operator runs in";
        read.read(
            "--operator-namespace",
            namespace,
            (!namespace.is_empty()).then_some(()),
            help,
        );
        let (Some(node_ports), Some(deadline), []) =
            (node_ports, deadline, read.mistakes.as_slice())
        else {
            return Err(BadArgs {
                mistakes: read.mistakes,
            });
        };
        Ok(self.settled(
            Listeners {
                metrics,
                health,
                webhook,
            },
            node_ports,
            deadline,
        ))
    }

    fn settled(
        self,
        Listeners {
            metrics,
            health,
            webhook,
        }: Listeners,
        node_ports: RangeInclusive<i32>,
        deadline: Duration,
    ) -> Settings {
        let certificate = self.webhook_cert_dir.map_or(
            Certificate::SelfManaged {
                secret: self.webhook_secret_name,
                configuration: self.webhook_configuration_name,
                service: self.webhook_service_name,
            },
            Certificate::Directory,
        );
        Settings {
            namespace: self.operator_namespace,
            pod_name: self.pod_name,
            kubeconfig: self.kubeconfig,
            defaults: Defaults {
                data_store: Some(self.datastore).filter(|name| !name.is_empty()),
                images: Images {
                    konnectivity_server: self.konnectivity_server_image,
                    konnectivity_agent: self.konnectivity_agent_image,
                },
            },
            limits: Limits { node_ports },
            reach: match self.reach_tenants {
                ReachTenants::Service => Reach::Service,
                ReachTenants::Endpoint => Reach::Endpoint,
            },
            concurrency: self.max_concurrent_tcp_reconciles,
            deadline,
            install_crds: self.install_crds,
            leader_elect: self.leader_elect,
            metrics,
            health,
            admission: webhook.map(|address| Admission {
                address,
                certificate,
            }),
            log_format: self.log_format,
            log_filter: self.log_level,
            without_effect: self.former.given(),
        }
    }
}

#[cfg(test)]
mod tests;
