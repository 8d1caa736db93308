//! What the program is told: in, flags and environment; out, [`Settings`] that are complete and typed.
//!
//! This is the only place that reads flags or the environment. Kamaji's flags keep their spelling; those that mean
//! nothing here are taken and named in the log, so that existing charts and scripts start this program.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};

use crate::tenant::Reach;
use crate::tenant_control_plane::control_plane::{Defaults, Images};
use crate::validate::Limits;

mod settings;
pub use settings::{Admission, Certificate, Settings};

/// Runs Kubernetes control planes for tenants as pods of this cluster, and keeps their tunnels.
#[derive(Debug, Parser)]
#[command(name = "warren-operator", version, max_term_width = 100)]
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

    /// DataStore for tenants whose manifest names none
    #[arg(long, default_value = "default", help_heading = "Tenants")]
    datastore: String,

    /// Image of konnectivity-server for tenants that do not choose one
    #[arg(long, default_value = concat!("warren/konnectivity-server:", env!("CARGO_PKG_VERSION")), help_heading = "Tenants")]
    konnectivity_server_image: String,

    /// Image of konnectivity-agent for tenants that do not choose one
    #[arg(long, default_value = concat!("warren/konnectivity-agent:", env!("CARGO_PKG_VERSION")), help_heading = "Tenants")]
    konnectivity_agent_image: String,

    /// TenantControlPlanes that are worked on at the same time
    #[arg(long, default_value_t = 8, help_heading = "Tenants")]
    max_concurrent_tcp_reconciles: u16,

    /// Ports that the cluster gives to NodePort Services, as its kube-apiserver is told
    #[arg(long, default_value = "30000-32767", help_heading = "Tenants")]
    service_node_port_range: String,

    /// How the operator itself reaches tenants: by their Service, from inside the cluster, or by the endpoint that nodes
    /// use, from anywhere
    #[arg(long, value_enum, default_value_t = ReachTenants::Service, help_heading = "Tenants")]
    reach_tenants: ReachTenants,

    /// Longest time one pass over one object may take, such as 30s or 2m
    #[arg(long, default_value = "30s", help_heading = "Tenants")]
    controller_reconcile_timeout: String,

    /// Apply the operator's CustomResourceDefinitions at start
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

    /// ValidatingWebhookConfiguration whose caBundle the operator keeps
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
    /// neither certificate nor caBundle
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

/// Flags of Kamaji that mean nothing here.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Taken for compatibility, without effect")]
struct Former {
    /// pprof is the Go runtime's
    #[arg(long, hide = true)]
    pprof_bind_address: Option<String>,
    /// Nothing is written to disk
    #[arg(long, hide = true)]
    tmp_directory: Option<String>,
    /// kine is not served yet
    #[arg(long, hide = true)]
    kine_image: Option<String>,
    /// Migration is not served yet
    #[arg(long, hide = true)]
    migrate_image: Option<String>,
    /// Permissions are those of the pod
    #[arg(long, hide = true, env = "SERVICE_ACCOUNT")]
    serviceaccount_name: Option<String>,
    /// The webhook's authority is in its Secret
    #[arg(long, hide = true)]
    webhook_ca_path: Option<String>,
    /// Watches need no resync
    #[arg(long, hide = true)]
    cache_resync_period: Option<String>,
    /// Certificates are renewed at two thirds of their life
    #[arg(long, hide = true)]
    certificate_expiration_deadline: Option<String>,
    /// Nothing is ever sent anywhere
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_telemetry: Option<String>,
    /// See --log-format
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    zap_devel: Option<String>,
    /// See --log-format
    #[arg(long, hide = true)]
    zap_encoder: Option<String>,
    /// See --log-level
    #[arg(long, hide = true)]
    zap_log_level: Option<String>,
    /// See --log-level
    #[arg(long, hide = true)]
    zap_stacktrace_level: Option<String>,
    /// See --log-format
    #[arg(long, hide = true)]
    zap_time_encoding: Option<String>,
}

impl Former {
    /// The flags that were given.
    fn given(&self) -> Vec<&'static str> {
        let Self {
            pprof_bind_address,
            tmp_directory,
            kine_image,
            migrate_image,
            serviceaccount_name: _,
            webhook_ca_path,
            cache_resync_period,
            certificate_expiration_deadline,
            disable_telemetry,
            zap_devel,
            zap_encoder,
            zap_log_level,
            zap_stacktrace_level,
            zap_time_encoding,
        } = self;
        let flags = [
            ("--pprof-bind-address", pprof_bind_address),
            ("--tmp-directory", tmp_directory),
            ("--kine-image", kine_image),
            ("--migrate-image", migrate_image),
            ("--webhook-ca-path", webhook_ca_path),
            ("--cache-resync-period", cache_resync_period),
            (
                "--certificate-expiration-deadline",
                certificate_expiration_deadline,
            ),
            ("--disable-telemetry", disable_telemetry),
            ("--zap-devel", zap_devel),
            ("--zap-encoder", zap_encoder),
            ("--zap-log-level", zap_log_level),
            ("--zap-stacktrace-level", zap_stacktrace_level),
            ("--zap-time-encoding", zap_time_encoding),
        ];
        flags
            .into_iter()
            .filter(|(_, value)| value.is_some())
            .map(|(flag, _)| flag)
            .collect()
    }
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

impl Args {
    /// Checks everything and reports all mistakes at once.
    pub fn settle(self) -> Result<Settings, BadArgs> {
        let mut mistakes = Vec::new();
        let mut address = |flag: &str, value: &str| match bind_address(value) {
            Ok(address) => address,
            Err(why) => {
                mistakes.push(format!("{flag}={value}: {why}"));
                None
            }
        };
        let metrics = address("--metrics-bind-address", &self.metrics_bind_address);
        let health = address(
            "--health-probe-bind-address",
            &self.health_probe_bind_address,
        );
        let webhook = address("--webhook-bind-address", &self.webhook_bind_address);
        let node_ports = port_range(&self.service_node_port_range).unwrap_or_else(|| {
            mistakes.push(format!(
                "--service-node-port-range={}: not a range of ports; write it like 30000-32767",
                self.service_node_port_range
            ));
            0..=0
        });
        let deadline = duration(&self.controller_reconcile_timeout).unwrap_or_else(|| {
            mistakes.push(format!(
                "--controller-reconcile-timeout={}: not a length of time; write it like 30s or 2m",
                self.controller_reconcile_timeout
            ));
            Duration::ZERO
        });
        if self.max_concurrent_tcp_reconciles == 0 {
            mistakes.push(
                "--max-concurrent-tcp-reconciles=0: nothing would be done; give at least 1"
                    .to_owned(),
            );
        }
        if self.operator_namespace.is_empty() {
            mistakes.push(
                "--operator-namespace=: empty; name the namespace the operator runs in".to_owned(),
            );
        }
        if !mistakes.is_empty() {
            return Err(BadArgs { mistakes });
        }
        let certificate = self.webhook_cert_dir.map_or(
            Certificate::SelfManaged {
                secret: self.webhook_secret_name,
                configuration: self.webhook_configuration_name,
                service: self.webhook_service_name,
            },
            Certificate::Directory,
        );
        Ok(Settings {
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
        })
    }
}

/// `:8080`, `127.0.0.1:8080` or `[::1]:8080`; `0` and nothing mean off.
fn bind_address(text: &str) -> Result<Option<SocketAddr>, &'static str> {
    const HELP: &str =
        "not an address to listen on; write it like :8080 or 127.0.0.1:8080, or 0 for none";
    match text {
        "" | "0" => Ok(None),
        _ => match text.strip_prefix(':') {
            Some(port) => port
                .parse()
                .map(|port| Some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))
                .map_err(|_error| HELP),
            None => text.parse().map(Some).map_err(|_error| HELP),
        },
    }
}

/// `30000-32767`.
fn port_range(text: &str) -> Option<RangeInclusive<i32>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| i32::from(first)..=i32::from(last))
}

/// `500ms`, `30s`, `2m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    };
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests;
