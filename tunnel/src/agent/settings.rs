//! What the flags of `konnectivity-agent` mean, decided once at the start.
//! In: `Args`. Out: `Settings`, or every mistake at once with flag, value and remedy.

use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::args::{Args, LeaseArgs, ServerArgs};
use super::plan::CountSource;
use super::proxy::Proxy;
use crate::admin::listen_address;
use crate::flags::{format_duration, label_selector, string_slice};
use crate::protocol::native::mode::TunnelMode;

/// Faster pings than this make a Go server hang up (`too_many_pings`).
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(30);
/// Faster pings than this would be noticed when idle.
const SHORTEST_NATIVE_KEEPALIVE: Duration = Duration::from_millis(100);
/// Kinds of identifiers the servers' strategies know.
const IDENTIFIERS: [&str; 6] = ["ipv4", "ipv6", "host", "cidr", "uid", "default-route"];

/// An agent that may start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the servers are.
    pub server: Server,
    /// Name of this agent.
    pub agent_id: String,
    /// What it reaches, URL-encoded as it goes on the wire.
    pub identifiers: String,
    /// When to look for servers.
    pub pace: Pace,
    /// Leases, when they are counted.
    pub leases: Option<LeaseSettings>,
    /// Which count of servers holds.
    pub count_source: CountSource,
    /// Address of the health listener and its port.
    pub health: (String, u16),
    /// Address of the admin listener.
    pub admin: String,
    /// How long open connections may go on after a signal; zero means for ever.
    pub drain_deadline: Duration,
}

/// Where the servers are and how both sides prove themselves.
#[derive(Clone, Debug)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Authority of the servers.
    pub ca: PathBuf,
    /// Own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Which wires may be spoken.
    pub mode: TunnelMode,
    /// Application protocols of the reference's wire, `h2` last.
    pub alpn: Vec<String>,
    /// The way there, when it is not direct.
    pub proxy: Option<Proxy>,
    /// Token to show.
    pub token: Option<PathBuf>,
    /// Time between pings on the reference's wire.
    pub keepalive: Duration,
    /// Time between pings in the native mode, and for their answers.
    pub native_keepalive: Duration,
}

/// When to look for servers.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two looks while servers are missing.
    pub interval: Duration,
    /// Longest time between two tries.
    pub cap: Duration,
    /// Whether to look on when all are there.
    pub when_complete: WhenComplete,
}

/// What to do once as many servers are held as are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenComplete {
    /// Wait until one is lost or the count grows.
    Rest,
    /// Look for further ones.
    KeepLooking,
}

/// Which Leases to count.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Their namespace.
    pub namespace: String,
    /// Their labels, as a selector.
    pub selector: String,
    /// The API server that holds them.
    pub kubeconfig: Option<PathBuf>,
}

impl Settings {
    /// Says what the flags mean, or everything that is wrong with them.
    pub fn new(args: &Args) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut port = |flag: &str, value: i32| {
            u16::try_from(value)
                .ok()
                .filter(|port| *port > 0)
                .unwrap_or_else(|| {
                    mistakes.push(format!(
                        "--{flag}={value} is no port: give one from 1 to 65535"
                    ));
                    0
                })
        };
        let server_port = port("proxy-server-port", args.server.proxy_server_port);
        let health_port = port("health-server-port", args.admin.health_server_port);
        let admin_port = port("admin-server-port", args.admin.admin_server_port);
        let proxy = proxy(&args.server, server_port).unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        let word = &args.server.tunnel_mode;
        let mode = TunnelMode::from_flag(word).unwrap_or_else(|| {
            mistakes.push(format!("--tunnel-mode={word}: give auto, legacy or native"));
            TunnelMode::Auto
        });
        check_server(&args.server, &mut mistakes);
        check_rest(args, &mut mistakes);
        let count_source = CountSource::parse(&args.leases.server_count_source);
        let Some(count_source) = count_source.filter(|_| mistakes.is_empty()) else {
            if count_source.is_none() {
                let value = &args.leases.server_count_source;
                mistakes.push(format!(
                    "--server-count-source={value}: give default or max"
                ));
            }
            return Err(mistakes);
        };
        Ok(Self {
            server: server(&args.server, server_port, (proxy, mode)),
            agent_id: match args.identity.agent_id.as_str() {
                "" => Uuid::new_v4().to_string(),
                id => id.to_owned(),
            },
            identifiers: args.identity.agent_identifiers.clone(),
            pace: pace(args),
            leases: args
                .leases
                .count_server_leases
                .then(|| leases(&args.leases)),
            count_source,
            health: (
                listen_address(&args.admin.health_server_host, health_port),
                health_port,
            ),
            admin: listen_address(&args.admin.admin_bind_address, admin_port),
            drain_deadline: args.limits.graceful_shutdown_timeout,
        })
    }
}

fn proxy(args: &ServerArgs, port: u16) -> Result<Option<Proxy>, String> {
    Proxy::towards(
        &args.proxy_server_host,
        port,
        &args.https_proxy,
        &args.no_proxy,
    )
}

fn server(args: &ServerArgs, port: u16, (proxy, mode): (Option<Proxy>, TunnelMode)) -> Server {
    let mut alpn = string_slice(&args.alpn_proto);
    alpn.push("h2".to_owned());
    Server {
        host: args.proxy_server_host.clone(),
        port,
        ca: args.ca_cert.clone(),
        identity: given(&args.agent_cert).zip(given(&args.agent_key)),
        mode,
        alpn,
        proxy,
        token: given(&args.service_account_token_path),
        keepalive: args.keepalive_time.max(SHORTEST_KEEPALIVE),
        native_keepalive: args.native_keepalive_time,
    }
}

fn pace(args: &Args) -> Pace {
    Pace {
        interval: args.sync.sync_interval,
        cap: args.sync.sync_interval_cap,
        when_complete: if args.sync.sync_forever {
            WhenComplete::KeepLooking
        } else {
            WhenComplete::Rest
        },
    }
}

fn leases(args: &LeaseArgs) -> LeaseSettings {
    LeaseSettings {
        namespace: args.lease_namespace.clone(),
        selector: args.lease_label_selector.clone(),
        kubeconfig: given(&args.kubeconfig),
    }
}

fn check_server(args: &ServerArgs, mistakes: &mut Vec<String>) {
    for (flag, what, path) in [
        ("agent-key", "agent key", &args.agent_key),
        ("agent-cert", "agent cert", &args.agent_cert),
        ("ca-cert", "agent CA cert", &args.ca_cert),
        (
            "service-account-token-path",
            "service account token path",
            &args.service_account_token_path,
        ),
    ] {
        if given(path).is_some_and(|path| !path.exists()) {
            let path = path.display();
            mistakes.push(format!(
                "error checking {what} {path}, got stat {path}: no such file or directory \
                 (give --{flag} a file that exists)"
            ));
        }
    }
    if given(&args.agent_key).is_some() != given(&args.agent_cert).is_some() {
        mistakes.push("--agent-cert and --agent-key go together: give both or none".to_owned());
    }
    if given(&args.ca_cert).is_none() {
        mistakes.push(
            "failed to load CA cert: open : no such file or directory \
             (give --ca-cert the authority of the servers' certificates)"
                .to_owned(),
        );
    }
    if args.native_keepalive_time < SHORTEST_NATIVE_KEEPALIVE {
        mistakes.push(format!(
            "--native-keepalive-time={} is too short: give at least {}",
            format_duration(args.native_keepalive_time),
            format_duration(SHORTEST_NATIVE_KEEPALIVE),
        ));
    }
    if args.proxy_server_host.is_empty() {
        mistakes.push("--proxy-server-host is empty: name the servers".to_owned());
    }
}

fn check_rest(args: &Args, mistakes: &mut Vec<String>) {
    let (sync, leases) = (&args.sync, &args.leases);
    if sync.sync_interval > sync.sync_interval_cap {
        mistakes.push(format!(
            "--sync-interval={} must not be longer than --sync-interval-cap={}",
            format_duration(sync.sync_interval),
            format_duration(sync.sync_interval_cap),
        ));
    }
    if args.limits.xfr_channel_size <= 0 {
        let size = args.limits.xfr_channel_size;
        mistakes.push(format!(
            "channel size {size} must be greater than 0 (--xfr-channel-size)"
        ));
    }
    if args.admin.enable_contention_profiling && !args.admin.enable_profiling {
        mistakes.push("--enable-contention-profiling needs --enable-profiling".to_owned());
    }
    for (key, _) in url::form_urlencoded::parse(args.identity.agent_identifiers.as_bytes()) {
        if !IDENTIFIERS.contains(&key.as_ref()) {
            mistakes.push(format!(
                "agent address is invalid: unknown address type: {key} \
                 (--agent-identifiers takes {})",
                IDENTIFIERS.join(", ")
            ));
        }
    }
    if let Err(error) = label_selector(&leases.lease_label_selector) {
        let selector = &leases.lease_label_selector;
        mistakes.push(format!(
            "--lease-label-selector={selector:?}: {error}; give key=value, key!=value, key in (a,b), \
             key notin (a,b), key or !key, with commas between"
        ));
    }
    if leases.count_server_leases && given(&leases.kubeconfig).is_some_and(|path| !path.exists()) {
        let path = leases.kubeconfig.display();
        mistakes.push(format!("--kubeconfig={path}: no such file or directory"));
    }
}

fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests;
