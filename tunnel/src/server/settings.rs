//! What the flags of `konnectivity-server` mean, decided once at the start.
//! In: `Args`. Out: `Settings`, or every mistake at once with flag, value and remedy.
//! Legal combinations are shapes here: a Unix frontend has no certificate, a token check has its audience.

use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::args::{Args, FrontendArgs, PeerArgs};
use super::strategy::Strategy;
use super::unix_socket::Leftover;
use crate::flags::Klog;
use crate::protocol::native::mode::TunnelMode;

mod rules;
#[cfg(test)]
mod tests;
pub mod tokens;
mod warnings;

use rules::Mistakes;
use tokens::{ReviewLimits, Strangers, TokenRule};

/// A server that may start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Unique among the replicas.
    pub server_id: String,
    /// At least as many servers as agents are told of.
    pub server_count: usize,
    /// Where kube-apiserver connects.
    pub frontend: Frontend,
    /// Where agents connect.
    pub agents: Agents,
    /// How an agent is chosen, in order.
    pub strategies: Vec<Strategy>,
    /// The other servers, if there may be any.
    pub peers: Option<Peers>,
    /// Leases, when they are on.
    pub leases: Option<Leases>,
    /// The API server, when somebody needs it.
    pub kubernetes: Kubernetes,
    /// Budgets and deadlines.
    pub limits: Limits,
    /// `host:port` of the admin listener.
    pub admin: String,
    /// `host:port` of the health listener.
    pub health: String,
    /// How long open connections may go on after a signal.
    pub graceful_shutdown_timeout: Duration,
    /// Logging.
    pub klog: Klog,
}

/// What kube-apiserver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `ProxyService.Proxy`.
    Grpc,
    /// HTTP/1.1 CONNECT.
    HttpConnect,
}

/// Where kube-apiserver connects.
#[derive(Clone, Debug)]
pub struct Frontend {
    /// What it speaks.
    pub mode: Mode,
    /// Where it connects.
    pub place: Place,
    /// Time between pings to an idle gRPC frontend.
    pub keepalive: Duration,
}

/// Where a frontend listens.
#[derive(Clone, Debug)]
pub enum Place {
    /// A Unix socket, in the clear.
    Unix {
        /// Its path.
        path: PathBuf,
        /// What happens to a socket that is already there.
        leftover: Leftover,
    },
    /// TCP with certificates on both sides.
    Tcp {
        /// `host:port`.
        address: String,
        /// Own certificate and the clients' authority.
        tls: TlsFiles,
    },
}

/// Where TLS material lies.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Authority whose certificates peers must show.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.2 suites by Go name; empty means all.
    pub cipher_suites: Vec<String>,
    /// `VersionTLS12`, `VersionTLS13` or empty.
    pub min_version: String,
}

/// Where agents connect.
#[derive(Clone, Debug)]
pub struct Agents {
    /// `host:port`.
    pub address: String,
    /// Own certificate, and the agents' authority if they show certificates.
    pub tls: TlsFiles,
    /// The token they must show instead.
    pub token: Option<TokenRule>,
    /// What becomes of them when neither is asked for.
    pub strangers: Strangers,
    /// Time between pings to an idle agent of the reference's wire.
    pub keepalive: Duration,
    /// Which wires they are offered.
    pub mode: TunnelMode,
    /// Time between pings to a native agent, and for it to answer one.
    pub native_keepalive: Duration,
}

/// Where the other servers are, and how they know each other.
#[derive(Clone, Debug)]
pub struct Peers {
    /// `host:port`, each of which may stand for many servers.
    pub names: Vec<String>,
    /// `host:port` of our own listener.
    pub address: String,
    /// Its port, as the others are told of it.
    pub port: u16,
    /// Our certificate for both roles, and the authority of all.
    pub tls: TlsFiles,
}

/// Where leases lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: Vec<(String, String)>,
}

/// How the API server is reached.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    /// The kubeconfig; none means the cluster this runs in.
    pub kubeconfig: Option<PathBuf>,
}

/// Budgets and deadlines.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No progress for this long with 1 MiB waiting or more closes a connection.
    pub stall: Duration,
    /// Bytes waiting for one frontend that make it full.
    pub connection_buffer: usize,
    /// Frontend connections at once.
    pub connections: usize,
    /// Dials at once.
    pub pending_dials: usize,
    /// Agent connections at once.
    pub agents: usize,
    /// How long one agent may take to answer a dial.
    pub backend_dial: Option<Duration>,
    /// Token reviews.
    pub reviews: ReviewLimits,
}

/// The command line asks for something that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\nerror: "))]
pub struct SettingsError(Vec<String>);

impl SettingsError {
    /// Every mistake, in the order of the reference's checks.
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Args> for Settings {
    type Error = SettingsError;

    fn try_from(args: Args) -> Result<Self, SettingsError> {
        let mut mistakes = Mistakes::default();
        rules::check(&args, &mut mistakes);
        let mode = rules::mode(&args.frontend.mode, &mut mistakes);
        let strategies = rules::strategies(&args.agents.proxy_strategies, &mut mistakes);
        let tunnel_mode = rules::tunnel_mode(&args.agents, &mut mistakes);
        let labels = rules::labels(&args.kubernetes.lease_label, &mut mistakes);
        mistakes.into_result().map_err(SettingsError)?;

        let tls = |cert: &Path, key: &Path, ca: &Path| TlsFiles {
            cert: cert.to_path_buf(),
            key: key.to_path_buf(),
            client_ca: path(ca),
            cipher_suites: crate::flags::string_slice(&args.agents.cipher_suites),
            min_version: args.agents.tls_min_version.clone(),
        };
        let agents = &args.agents;
        Ok(Self {
            server_id: text(&args.identity.server_id).unwrap_or_else(|| Uuid::new_v4().to_string()),
            server_count: usize::try_from(args.identity.server_count).unwrap_or(0),
            frontend: frontend(&args.frontend, mode, tls),
            agents: Agents {
                address: address(&agents.agent_bind_address, agents.agent_port),
                tls: tls(
                    &agents.cluster_cert,
                    &agents.cluster_key,
                    &agents.cluster_ca_cert,
                ),
                token: TokenRule::from_flags(agents, &args.tokens),
                strangers: if agents.allow_unauthenticated_agents {
                    Strangers::Admit
                } else {
                    Strangers::Refuse
                },
                keepalive: agents.keepalive_time,
                mode: tunnel_mode,
                native_keepalive: agents.native_keepalive_time,
            },
            strategies,
            peers: peers(&args.peers, tls),
            leases: args.kubernetes.enable_lease_controller.then(|| Leases {
                namespace: args.kubernetes.lease_namespace.clone(),
                labels,
            }),
            kubernetes: Kubernetes {
                kubeconfig: path(&args.kubernetes.kubeconfig),
            },
            limits: limits(&args),
            admin: address(&args.admin.admin_bind_address, args.admin.admin_port),
            health: address(&args.admin.health_bind_address, args.admin.health_port),
            graceful_shutdown_timeout: args.identity.graceful_shutdown_timeout,
            klog: args.klog,
        })
    }
}

fn frontend(
    args: &FrontendArgs,
    mode: Mode,
    tls: impl Fn(&Path, &Path, &Path) -> TlsFiles,
) -> Frontend {
    let place = match path(&args.uds_name) {
        Some(path) => Place::Unix {
            path,
            leftover: if args.delete_existing_uds_file {
                Leftover::Remove
            } else {
                Leftover::Keep
            },
        },
        None => Place::Tcp {
            address: address(&args.server_bind_address, args.server_port),
            tls: tls(&args.server_cert, &args.server_key, &args.server_ca_cert),
        },
    };
    Frontend {
        mode,
        place,
        keepalive: args.frontend_keepalive_time,
    }
}

fn peers(args: &PeerArgs, tls: impl Fn(&Path, &Path, &Path) -> TlsFiles) -> Option<Peers> {
    let names: Vec<String> = args
        .peer_dns
        .iter()
        .filter(|it| !it.is_empty())
        .cloned()
        .collect();
    (!names.is_empty()).then(|| Peers {
        names,
        address: address(&args.peer_bind_address, args.peer_port),
        port: u16::try_from(args.peer_port).unwrap_or_default(),
        tls: tls(&args.peer_cert, &args.peer_key, &args.peer_ca_cert),
    })
}

fn limits(args: &Args) -> Limits {
    let (limits, backend_dial) = (&args.limits, args.agents.backend_dial_timeout);
    Limits {
        stall: limits.stalled_connection_timeout,
        connection_buffer: limits.connection_buffer_bytes,
        connections: limits.max_connections,
        pending_dials: limits.max_pending_dials,
        agents: limits.max_agents,
        backend_dial: (!backend_dial.is_zero()).then_some(backend_dial),
        reviews: ReviewLimits::from_flags(&args.tokens),
    }
}

/// An empty host means every address, of both families.
fn address(host: &str, port: i32) -> String {
    match host {
        "" => format!("[::]:{port}"),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn path(value: &Path) -> Option<PathBuf> {
    (!value.as_os_str().is_empty()).then(|| value.to_path_buf())
}
