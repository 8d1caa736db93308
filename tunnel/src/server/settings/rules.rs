//! Which flags may stand together: the reference's checks with the reference's words, none of which hides the next.

use std::path::Path;

use super::Mode;
use crate::flags::{label, string_slice};
use crate::protocol::budget::{HARD, LEAST_HARD};
use crate::protocol::native::mode::TunnelMode;
use crate::server::args::{AgentArgs, Args, FrontendArgs, PeerArgs, TokenArgs};
use crate::server::backend::reference::POOL;
use crate::server::strategy::Strategy;

/// Suites that Go's TLS takes by name and does not call insecure.
const CIPHER_SUITES: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Everything that is wrong, collected.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<String>);

impl Mistakes {
    fn add(&mut self, mistake: impl Into<String>) {
        self.0.push(mistake.into());
    }

    pub(super) fn into_result(self) -> Result<(), Vec<String>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.0)
        }
    }
}

/// Which wires agents are offered, and how often native ones are asked whether they live.
pub(super) fn tunnel_mode(args: &AgentArgs, mistakes: &mut Mistakes) -> TunnelMode {
    if args.native_keepalive_time.is_zero() {
        mistakes.add("--native-keepalive-time must be greater than 0s: 5s is the default");
    }
    TunnelMode::from_flag(&args.tunnel_mode).unwrap_or_else(|| {
        let mode = &args.tunnel_mode;
        mistakes.add(format!(
            "--tunnel-mode={mode} is none of auto, legacy and native: auto is the default"
        ));
        TunnelMode::default()
    })
}

pub(super) fn check(args: &Args, mistakes: &mut Mistakes) {
    frontend(&args.frontend, mistakes);
    agents(&args.agents, mistakes);
    tokens(&args.tokens, &args.agents.authentication_audience, mistakes);
    peers(&args.peers, mistakes);
    let admin = &args.admin;
    for (port, name) in [
        (args.agents.agent_port, "agent"),
        (admin.admin_port, "admin"),
        (admin.health_port, "health"),
    ] {
        port_is_usable(port, name, mistakes);
    }
    if admin.enable_contention_profiling && !admin.enable_profiling {
        mistakes
            .add("if --enable-contention-profiling is set, --enable-profiling must also be set");
    }
    exists("kubeconfig", &args.kubernetes.kubeconfig, mistakes);
    let buffer = args.limits.connection_buffer_bytes;
    if !(LEAST_HARD..=POOL).contains(&buffer) {
        mistakes.add(format!(
            "--connection-buffer-bytes={buffer} must be from {LEAST_HARD}, twice what waits unwatched, to {POOL}, what \
             may wait for all connections together: {HARD} is the default"
        ));
    }
    if args.limits.stalled_connection_timeout.is_zero() {
        mistakes.add("--stalled-connection-timeout must be greater than 0s: 2s is the default");
    }
}

fn frontend(args: &FrontendArgs, mistakes: &mut Mistakes) {
    let files = [
        ("server key", &args.server_key),
        ("server cert", &args.server_cert),
        ("server ca cert", &args.server_ca_cert),
    ];
    if is_unset(&args.uds_name) {
        for (name, path) in files {
            exists(name, path, mistakes);
        }
        pair(
            ("server-cert", &args.server_cert),
            ("server-key", &args.server_key),
            mistakes,
        );
        if is_unset(&args.server_ca_cert) {
            mistakes.add("server ca cert must be set when in TCP mode (uds-name is empty)");
        }
        port_is_usable(args.server_port, "server", mistakes);
        return;
    }
    if args.server_port != 0 {
        mistakes.add(format!(
            "server port should be set to 0 not {} for UDS",
            args.server_port
        ));
    }
    for (name, path) in files {
        if !is_unset(path) {
            mistakes.add(format!("{name} should not be set for UDS"));
        }
    }
}

fn agents(args: &AgentArgs, mistakes: &mut Mistakes) {
    exists("cluster key", &args.cluster_key, mistakes);
    exists("cluster cert", &args.cluster_cert, mistakes);
    exists("cluster ca cert", &args.cluster_ca_cert, mistakes);
    pair(
        ("cluster-cert", &args.cluster_cert),
        ("cluster-key", &args.cluster_key),
        mistakes,
    );
    if is_unset(&args.cluster_cert) && is_unset(&args.cluster_key) {
        mistakes.add("failed to load X509 key pair: agents connect over TLS, set --cluster-cert and --cluster-key");
    }
    let words = [
        ("AgentNamespace", &args.agent_namespace),
        ("AgentServiceAccount", &args.agent_service_account),
        ("AuthenticationAudience", &args.authentication_audience),
    ];
    if words.iter().any(|(_, value)| !value.is_empty()) {
        if !is_unset(&args.cluster_ca_cert) {
            mistakes.add("--cluster-ca-cert can not be used when agent authentication is enabled");
        }
        for (name, _) in words.iter().filter(|(_, value)| value.is_empty()) {
            mistakes.add(format!(
                "{name} cannot be empty when agent authentication is enabled"
            ));
        }
    }
    if args.xfr_channel_size <= 0 {
        mistakes.add(format!(
            "channel size {} must be greater than 0",
            args.xfr_channel_size
        ));
    }
    for suite in string_slice(&args.cipher_suites) {
        if !CIPHER_SUITES.contains(&suite.as_str()) {
            mistakes.add(format!(
                "cipher suite {suite} not supported, doesn't exist or considered as insecure"
            ));
        }
    }
    if !matches!(
        args.tls_min_version.as_str(),
        "" | "VersionTLS10" | "VersionTLS11" | "VersionTLS12" | "VersionTLS13"
    ) {
        mistakes.add(format!(
            "unsupported TLS version {:?}: use VersionTLS12 or VersionTLS13",
            args.tls_min_version
        ));
    }
}

fn tokens(args: &TokenArgs, audience: &str, mistakes: &mut Mistakes) {
    let key = &args.service_account_public_key_file;
    exists("service account public key", key, mistakes);
    if !is_unset(key) && audience.is_empty() {
        mistakes.add(format!(
            "--service-account-public-key-file={:?} checks nothing without tokens: set --agent-namespace, \
             --agent-service-account and --authentication-audience, or take it away",
            key.display()
        ));
    }
    for (flag, is_set) in [
        (
            "service-account-issuer",
            !args.service_account_issuer.is_empty(),
        ),
        ("review-accepted-tokens", args.review_accepted_tokens),
    ] {
        if is_set && is_unset(key) {
            mistakes.add(format!(
                "--{flag} says something about tokens that a key has accepted: set --service-account-public-key-file, \
                 or take it away"
            ));
        }
    }
    if args.token_reviews_in_flight == 0 {
        mistakes.add("--token-reviews-in-flight=0 would review nothing: 32 is the default");
    }
}

fn peers(args: &PeerArgs, mistakes: &mut Mistakes) {
    let files = [
        ("peer-cert", &args.peer_cert),
        ("peer-key", &args.peer_key),
        ("peer-ca-cert", &args.peer_ca_cert),
    ];
    if args.peer_dns.iter().all(String::is_empty) {
        for (flag, path) in files.iter().filter(|(_, path)| !is_unset(path)) {
            mistakes.add(format!(
                "--{flag}={} serves nobody without other servers: set --peer-dns, or take it away",
                path.display()
            ));
        }
        return;
    }
    for (flag, path) in files {
        if is_unset(path) {
            mistakes.add(format!(
                "--{flag} must be set with --peer-dns: servers know each other by certificates"
            ));
        }
        exists(flag, path, mistakes);
    }
    for name in &args.peer_dns {
        let port = name
            .rsplit_once(':')
            .map(|(host, port)| (host, port.parse::<u16>()));
        if !matches!(port, Some((host, Ok(1..))) if !host.is_empty()) {
            mistakes.add(format!(
                "--peer-dns={name:?} is not HOST:PORT: the port is the others' --peer-port, 8135 unless set"
            ));
        }
    }
    port_is_usable(args.peer_port, "peer", mistakes);
}

pub(super) fn mode(text: &str, mistakes: &mut Mistakes) -> Mode {
    match text {
        "http-connect" => Mode::HttpConnect,
        other => {
            if other != "grpc" {
                mistakes.add(format!(
                    "mode must be set to either 'grpc' or 'http-connect' not {text:?}"
                ));
            }
            Mode::Grpc
        }
    }
}

pub(super) fn strategies(text: &str, mistakes: &mut Mistakes) -> Vec<Strategy> {
    if text.is_empty() {
        mistakes.add("ProxyStrategies cannot be empty");
    }
    let mut known = Vec::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match Strategy::from_flag(word) {
            Some(strategy) => known.push(strategy),
            None => mistakes.add(format!(
                "invalid proxy strategies: unknown proxy strategy: {word} (known: default, destHost, defaultRoute)"
            )),
        }
    }
    known
}

pub(super) fn labels(text: &str, mistakes: &mut Mistakes) -> Vec<(String, String)> {
    let pairs: Result<Vec<_>, _> = text.split(',').map(label).collect();
    pairs.unwrap_or_else(|error| {
        mistakes.add(format!(
            "--lease-label={text:?} is not key=value[,key=value]: {error}"
        ));
        Vec::new()
    })
}

fn port_is_usable(port: i32, name: &str, mistakes: &mut Mistakes) {
    if port > 49_151 {
        mistakes.add(format!(
            "please do not try to use ephemeral port {port} for the {name} port"
        ));
    } else if port < 1024 {
        mistakes.add(format!(
            "please do not try to use reserved port {port} for the {name} port"
        ));
    }
}

fn pair(cert: (&str, &Path), key: (&str, &Path), mistakes: &mut Mistakes) {
    for ((set, value), (unset, other)) in [(cert, key), (key, cert)] {
        if is_unset(other) && !is_unset(value) {
            mistakes.add(format!(
                "cannot have --{unset} empty when --{set} is set to {:?}: set both or neither",
                value.display()
            ));
        }
    }
}

fn exists(name: &str, path: &Path, mistakes: &mut Mistakes) {
    if is_unset(path) {
        return;
    }
    if let Err(error) = std::fs::metadata(path) {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        let path = path.display();
        mistakes.add(format!(
            "error checking {name} {path}, got stat {path}: {reason}"
        ));
    }
}

fn is_unset(path: &Path) -> bool {
    path.as_os_str().is_empty()
}
