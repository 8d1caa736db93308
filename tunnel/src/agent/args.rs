//! The flags of `konnectivity-agent`: the reference's, with its spelling and defaults, and some of
//! our own. In: a command line. Out: `Args` as typed; `settings.rs` says what they mean.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::flags::{Flags, Klog, go_duration};

/// Connects a cluster's network to the konnectivity-servers beside its kube-apiserver.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "konnectivity-agent",
    after_help = "Look inside a running one: konnectivity-agent status [--help]"
)]
pub struct Args {
    /// Where the servers are and how they are trusted.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Who this agent is.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// How servers are found and kept.
    #[command(flatten)]
    pub sync: SyncArgs,
    /// How servers are counted by Leases.
    #[command(flatten)]
    pub leases: LeaseArgs,
    /// Health, metrics, profiling.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// What keeps one connection from hurting the others.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Logging.
    #[command(flatten)]
    pub klog: Klog,
}

impl Flags for Args {
    const DEPRECATED: &'static [(&'static str, &'static str)] =
        &[("lease-label", "use --lease-label-selector instead")];
    const SECOND_VARIABLES: &'static [(&'static str, &'static str)] =
        &[("https-proxy", "https_proxy"), ("no-proxy", "no_proxy")];
}

/// Where the servers are and how they are trusted.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Name or address of the servers; every address of a name is tried.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub proxy_server_host: String,
    /// Port of the servers.
    #[arg(long, default_value_t = 8091, value_name = "PORT")]
    pub proxy_server_port: i32,
    /// Authority that signed the servers' certificates; read again at each connect.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub ca_cert: PathBuf,
    /// Certificate shown to the servers; read again at each connect.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub agent_cert: PathBuf,
    /// Key of --agent-cert.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub agent_key: PathBuf,
    /// Application protocols to offer before `h2`.
    #[arg(long, value_name = "NAME,...")]
    pub alpn_proto: Vec<String>,
    /// Wire to the servers: `auto`, `legacy` (the reference's) or `native` (only our servers).
    #[arg(long, default_value = "auto", value_name = "MODE")]
    pub tunnel_mode: String,
    /// Time between pings in the native mode, and for their answers; at least 100ms.
    #[arg(long, default_value = "5s", value_parser = go_duration, value_name = "DURATION")]
    pub native_keepalive_time: Duration,
    /// Time between pings to an idle server; at least 30 s are kept.
    #[arg(long, default_value = "1h0m0s", value_parser = go_duration, value_name = "DURATION")]
    pub keepalive_time: Duration,
    /// HTTP proxy on the way to the servers: http://HOST:PORT; else the variable
    /// `https_proxy`.
    #[arg(
        long,
        env = "HTTPS_PROXY",
        hide_env_values = true,
        default_value = "",
        value_name = "URL"
    )]
    pub https_proxy: String,
    /// Servers that are reached without the proxy: addresses, networks, domains; else the
    /// variable `no_proxy`.
    #[arg(long, env = "NO_PROXY", default_value = "", value_name = "LIST")]
    pub no_proxy: String,
    /// Token shown to the servers; read again at each connect.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub service_account_token_path: PathBuf,
}

/// Who this agent is.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Identity")]
pub struct IdentityArgs {
    /// Name of this agent, unique among all; a random one when empty.
    #[arg(long, env = "PROXY_AGENT_ID", default_value = "", value_name = "ID")]
    pub agent_id: String,
    /// What this agent reaches: `ipv4=1.2.3.4&ipv6=::1&host=name&cidr=10.0.0.0/8&default-route=true`.
    #[arg(long, default_value = "", value_name = "QUERY")]
    pub agent_identifiers: String,
}

/// How servers are found and kept.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Finding servers")]
pub struct SyncArgs {
    /// Time between two looks for servers that are still missing.
    #[arg(long, default_value = "1s", value_parser = go_duration, value_name = "DURATION")]
    pub sync_interval: Duration,
    /// Longest time between two tries after failures.
    #[arg(long, default_value = "10s", value_parser = go_duration, value_name = "DURATION")]
    pub sync_interval_cap: Duration,
    /// Accepted; no effect: a lost connection is noticed when it is lost.
    #[arg(long, default_value = "1s", value_parser = go_duration, value_name = "DURATION")]
    pub probe_interval: Duration,
    /// Look for further servers for ever.
    #[arg(long)]
    pub sync_forever: bool,
}

/// How servers are counted by Leases.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Counting servers")]
pub struct LeaseArgs {
    /// Count the servers by their Leases.
    #[arg(long)]
    pub count_server_leases: bool,
    /// Namespace of the Leases.
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE")]
    pub lease_namespace: String,
    /// Which Leases are servers'; empty means all.
    #[arg(
        long,
        alias = "lease-label",
        default_value = "k8s-app=konnectivity-server",
        value_name = "SELECTOR"
    )]
    pub lease_label_selector: String,
    /// `default`: Leases where they are counted, else what servers say; `max`: the larger of both.
    #[arg(long, default_value = "default", value_name = "SOURCE")]
    pub server_count_source: String,
    /// API server that holds the Leases; the pod's own when empty.
    #[arg(long, default_value = "", value_name = "PATH")]
    pub kubeconfig: PathBuf,
    /// Accepted; no effect: Leases are read as JSON.
    #[arg(
        long,
        default_value = "application/vnd.kubernetes.protobuf",
        value_name = "TYPE"
    )]
    pub kube_api_content_type: String,
}

/// Health, metrics, profiling.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Health and admin")]
pub struct AdminArgs {
    /// Address of the health listener; empty means every address.
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    pub health_server_host: String,
    /// Port of the health listener: /healthz, /readyz, /metrics.
    #[arg(long, default_value_t = 8093, value_name = "PORT")]
    pub health_server_port: i32,
    /// Address of the admin listener; empty means every address.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub admin_bind_address: String,
    /// Port of the admin listener: /status.
    #[arg(long, default_value_t = 8094, value_name = "PORT")]
    pub admin_server_port: i32,
    /// Accepted; the pprof paths say what to use instead.
    #[arg(long)]
    pub enable_profiling: bool,
    /// Accepted with --enable-profiling; no effect.
    #[arg(long)]
    pub enable_contention_profiling: bool,
}

/// What keeps one connection from hurting the others.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Accepted; no effect: what waits is bounded in bytes, not packets.
    #[arg(long, default_value_t = 150, value_name = "PACKETS")]
    pub xfr_channel_size: i32,
    /// Accepted; no effect: a full queue is in log and metrics anyway.
    #[arg(long)]
    pub warn_on_channel_limit: bool,
    /// How long open connections may go on after a signal; 0s means for ever.
    #[arg(long, default_value = "25s", value_parser = go_duration, value_name = "DURATION")]
    pub graceful_shutdown_timeout: Duration,
}
