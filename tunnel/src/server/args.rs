//! The flags of `konnectivity-server`: the reference's, with its spelling and defaults, and a few of our own.
//! In: a command line. Out: `Args` as typed; `settings.rs` says what they mean and whether they may be.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::flags::{Flags, Klog, go_duration};
use crate::protocol::budget::HARD;

/// Accepts connections of kube-apiserver on one side, agents on the other, and relays between them.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "konnectivity-server",
    after_help = "Look inside a running one: konnectivity-server status [--help]"
)]
pub struct Args {
    /// Where kube-apiserver connects.
    #[command(flatten)]
    pub frontend: FrontendArgs,
    /// Where agents connect, and how they prove themselves.
    #[command(flatten)]
    pub agents: AgentArgs,
    /// How agents' tokens are checked.
    #[command(flatten)]
    pub tokens: TokenArgs,
    /// How this server is known among its replicas.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// The other servers of the same cluster.
    #[command(flatten)]
    pub peers: PeerArgs,
    /// The API server that answers token reviews and keeps leases.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// What keeps one connection from hurting the others.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Health, metrics, profiling.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Logging.
    #[command(flatten)]
    pub klog: Klog,
}

impl Flags for Args {
    const DEPRECATED: &'static [(&'static str, &'static str)] =
        &[("warn-on-channel-limit", "it has no effect")];
}

/// Where kube-apiserver connects.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Frontend")]
pub struct FrontendArgs {
    /// Protocol of the frontend: 'grpc' or 'http-connect'.
    #[arg(long, default_value = "grpc")]
    pub mode: String,
    /// Path of the Unix socket kube-apiserver connects to; empty means TCP with mutual TLS.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub uds_name: PathBuf,
    /// Remove a socket that a former run left at --uds-name.
    #[arg(long, default_value = "true")]
    pub delete_existing_uds_file: bool,
    /// Port of the frontend; 0 with --uds-name.
    #[arg(long, default_value_t = 8090, value_name = "PORT")]
    pub server_port: i32,
    /// Address the frontend listens on; empty means every address.
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    pub server_bind_address: String,
    /// Certificate shown to frontends.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub server_cert: PathBuf,
    /// Key of --server-cert.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub server_key: PathBuf,
    /// Authority whose certificates frontends must show.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub server_ca_cert: PathBuf,
    /// Time between pings to an idle gRPC frontend.
    #[arg(long, default_value = "1h", value_parser = go_duration, value_name = "DURATION")]
    pub frontend_keepalive_time: Duration,
    /// Accepted; no effect: what waits for a frontend is bounded by --connection-buffer-bytes.
    #[arg(long, default_value_t = 10, value_name = "PACKETS")]
    pub frontend_write_channel_size: i32,
}

/// Where agents connect, and how they prove themselves.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Agents")]
pub struct AgentArgs {
    /// Port agents connect to.
    #[arg(long, default_value_t = 8091, value_name = "PORT")]
    pub agent_port: i32,
    /// Address agents connect to; empty means every address.
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    pub agent_bind_address: String,
    /// Certificate shown to agents.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub cluster_cert: PathBuf,
    /// Key of --cluster-cert.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub cluster_key: PathBuf,
    /// Authority whose certificates agents must show; not together with tokens.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub cluster_ca_cert: PathBuf,
    /// Namespace of the service account whose tokens agents show.
    #[arg(long, default_value = "")]
    pub agent_namespace: String,
    /// Service account whose tokens agents show.
    #[arg(long, default_value = "")]
    pub agent_service_account: String,
    /// Audience that agents' tokens must be made for.
    #[arg(long, default_value = "")]
    pub authentication_audience: String,
    /// How an agent is chosen for a dial: list of 'default', 'destHost', 'defaultRoute'; the first that knows one wins.
    #[arg(long, default_value = "default", value_name = "STRATEGIES")]
    pub proxy_strategies: String,
    /// Time between pings to an idle agent.
    #[arg(long, default_value = "1h", value_parser = go_duration, value_name = "DURATION")]
    pub keepalive_time: Duration,
    /// Wires offered to agents: 'auto' is native for agents of ours and the reference's for others, 'legacy' the
    /// reference's only, 'native' native only. Not in the reference.
    #[arg(long, default_value = "auto", value_name = "MODE")]
    pub tunnel_mode: String,
    /// Time between pings to a native agent, and for it to answer one. Not in the reference.
    #[arg(long, default_value = "5s", value_parser = go_duration, value_name = "DURATION")]
    pub native_keepalive_time: Duration,
    /// How long one agent may take to answer a dial: at most the 10s in which every dial is answered, in all; 0
    /// leaves it to those.
    #[arg(long, default_value = "0s", value_parser = go_duration, value_name = "DURATION")]
    pub backend_dial_timeout: Duration,
    /// Accepted; no effect: what waits is bounded in bytes.
    #[arg(long, default_value_t = 10, value_name = "PACKETS")]
    pub xfr_channel_size: i32,
    /// Accepted; no effect.
    #[arg(long, default_value = "true")]
    pub warn_on_channel_limit: bool,
    /// TLS 1.2 cipher suites by their Go names; TLS 1.3 has its own.
    #[arg(long, value_name = "SUITES")]
    pub cipher_suites: Vec<String>,
    /// Lowest TLS version: `VersionTLS12` or `VersionTLS13`.
    #[arg(long, default_value = "", value_name = "VERSION")]
    pub tls_min_version: String,
    /// Let in everybody who reaches the agent port when neither --cluster-ca-cert nor tokens are asked for, as the
    /// reference does; with =false such a server refuses every agent. Not in the reference.
    #[arg(long, default_value = "true")]
    pub allow_unauthenticated_agents: bool,
}

/// How agents' tokens are checked.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Agents' tokens (not in the reference)")]
pub struct TokenArgs {
    /// Public keys of the service-account tokens, PEM, read again when the file changes: with them tokens are judged
    /// here and at once; without, the API server reviews each.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub service_account_public_key_file: PathBuf,
    /// Who may issue tokens, as kube-apiserver's flag of that name says; may be given several times [default: whoever
    /// holds the key].
    #[arg(long, value_name = "ISSUER")]
    pub service_account_issuer: Vec<String>,
    /// Have the API server review, in the background, what the key accepted: a token it refuses ends its agent's
    /// stream, an API server that cannot be asked refuses nobody.
    #[arg(long)]
    pub review_accepted_tokens: bool,
    /// Token reviews asked of the API server at the same time.
    #[arg(long, default_value_t = 32, value_name = "COUNT")]
    pub token_reviews_in_flight: usize,
    /// How long a token that the API server accepted is not reviewed again; never longer than it is valid.
    #[arg(long, default_value = "1m", value_parser = go_duration, value_name = "DURATION")]
    pub token_review_cache_ttl: Duration,
    /// Refuse agents with an identifier host=NAME other than the node that their token is bound to; tokens that name
    /// no node bind nothing, and addresses stand in no token.
    #[arg(long)]
    pub bind_agent_identifiers: bool,
}

/// How this server is known among its replicas.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Identity")]
pub struct IdentityArgs {
    /// Unique name of this server [default: a random UUID].
    #[arg(long, env = "PROXY_SERVER_ID", default_value = "", value_name = "ID")]
    pub server_id: String,
    /// Number of servers to tell agents of; with leases, the larger of this and the live leases.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub server_count: i32,
    /// How long open connections may go on after a signal; 0 ends them at once.
    #[arg(long, default_value = "0s", value_parser = go_duration, value_name = "DURATION")]
    pub graceful_shutdown_timeout: Duration,
}

/// The other servers of the same cluster: a dial that no agent here can serve is relayed to one that has the agent.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Other servers (not in the reference)")]
pub struct PeerArgs {
    /// Where the other servers are, HOST:PORT between commas, resolved again every 5 s; each name may stand for many
    /// servers, as that of a headless Service does, this one among them. Empty turns peering off.
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT")]
    pub peer_dns: Vec<String>,
    /// Port on which the other servers connect.
    #[arg(long, default_value_t = 8135, value_name = "PORT")]
    pub peer_port: i32,
    /// Address on which the other servers connect; empty means every address.
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    pub peer_bind_address: String,
    /// Certificate shown to the other servers, as server and as client; one of its names must be
    /// konnectivity-server-peer.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub peer_cert: PathBuf,
    /// Key of --peer-cert.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub peer_key: PathBuf,
    /// Authority whose certificates the other servers must show; it should sign nothing else.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub peer_ca_cert: PathBuf,
}

/// The API server that answers token reviews and keeps leases.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// Kubeconfig of the API server; empty means that of the cluster this runs in.
    #[arg(long, default_value = "", value_parser = path, value_name = "PATH")]
    pub kubeconfig: PathBuf,
    /// Accepted; no effect: equal tokens share one review, and --token-reviews-in-flight bounds the rest.
    #[arg(long, default_value_t = 0.0, value_name = "QPS")]
    pub kubeconfig_qps: f32,
    /// Accepted; no effect, as --kubeconfig-qps.
    #[arg(long, default_value_t = 0, value_name = "REQUESTS")]
    pub kubeconfig_burst: i32,
    /// Accepted; requests are JSON.
    #[arg(
        long,
        default_value = "application/vnd.kubernetes.protobuf",
        value_name = "TYPE"
    )]
    pub kube_api_content_type: String,
    /// Announce this server by a lease and count those of the others.
    #[arg(long)]
    pub enable_lease_controller: bool,
    /// Namespace of the leases.
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE")]
    pub lease_namespace: String,
    /// Labels of the leases: key=value[,key=value].
    #[arg(
        long,
        default_value = "k8s-app=konnectivity-server",
        value_name = "LABELS"
    )]
    pub lease_label: String,
}

/// What keeps one connection from hurting the others.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits (not in the reference)")]
pub struct LimitArgs {
    /// How long a connection with 1 MiB waiting or more may drain nothing before it is closed; with all that the server
    /// has for waiting bytes used up, any that waits.
    #[arg(long, default_value = "2s", value_parser = go_duration, value_name = "DURATION")]
    pub stalled_connection_timeout: Duration,
    /// Bytes waiting for one frontend that make it full: while it moves, its agent's stream waits for it; after 500ms
    /// without progress, or --stalled-connection-timeout if that is shorter, it is closed alone. From 2097152 to the
    /// 67108864 that may wait for all together. Native agents are held back by a window of 256 KiB each instead.
    #[arg(long, default_value_t = HARD, value_name = "BYTES")]
    pub connection_buffer_bytes: usize,
    /// Connections of frontends at the same time; further ones are refused.
    #[arg(long, default_value_t = 20_000, value_name = "COUNT")]
    pub max_connections: usize,
    /// Dials that may wait for an answer at the same time; further ones are refused.
    #[arg(long, default_value_t = 1024, value_name = "COUNT")]
    pub max_pending_dials: usize,
    /// Agent connections at the same time; further ones are refused.
    #[arg(long, default_value_t = 2000, value_name = "COUNT")]
    pub max_agents: usize,
}

/// Health, metrics, profiling.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Health and metrics")]
pub struct AdminArgs {
    /// Port of /metrics and /status for administrators.
    #[arg(long, default_value_t = 8095, value_name = "PORT")]
    pub admin_port: i32,
    /// Address of the admin port; empty means every address.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub admin_bind_address: String,
    /// Port of /healthz, /readyz and /metrics.
    #[arg(long, default_value_t = 8092, value_name = "PORT")]
    pub health_port: i32,
    /// Address of the health port; empty means every address.
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    pub health_bind_address: String,
    /// Accepted; Go's profiles have no counterpart here.
    #[arg(long)]
    pub enable_profiling: bool,
    /// Accepted together with --enable-profiling.
    #[arg(long)]
    pub enable_contention_profiling: bool,
}

/// An empty path means that there is none; clap's own parser refuses it.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a clap value parser")]
fn path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(PathBuf::from(text))
}
