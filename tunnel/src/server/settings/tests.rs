//! Command lines of the field, and wrong ones.

use std::time::Duration;

use super::tokens::{Binding, SecondOpinion};
use super::*;
use crate::flags;

fn read(words: &[&str]) -> Result<Settings, SettingsError> {
    let argv = std::iter::once("konnectivity-server").chain(words.iter().copied());
    let parsed = flags::parse::<Args>(argv.map(str::to_owned));
    Settings::try_from(parsed.expect("every flag is known").args)
}

fn mistakes(words: &[&str]) -> Vec<String> {
    read(words)
        .expect_err("must be refused")
        .mistakes()
        .to_vec()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        for name in ["tls.crt", "tls.key", "kubeconfig"] {
            std::fs::write(dir.path().join(name), "").expect("a file");
        }
        Self(dir)
    }

    fn flag(&self, name: &str, file: &str) -> String {
        format!("--{name}={}", self.0.path().join(file).display())
    }
}

#[test]
fn arguments_of_the_kubernetes_task_page_start_the_server() {
    let files = Files::new();
    let settings = read(&[
        "--logtostderr=true",
        "--uds-name=/etc/kubernetes/konnectivity-server/konnectivity-server.socket",
        "--delete-existing-uds-file",
        &files.flag("cluster-cert", "tls.crt"),
        &files.flag("cluster-key", "tls.key"),
        "--mode=grpc",
        "--server-port=0",
        "--agent-port=8132",
        "--admin-port=8133",
        "--health-port=8134",
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        &files.flag("kubeconfig", "kubeconfig"),
        "--authentication-audience=system:konnectivity-server",
    ])
    .expect("legal");
    assert_eq!(settings.frontend.mode, Mode::Grpc);
    assert!(matches!(
        settings.frontend.place,
        Place::Unix {
            leftover: Leftover::Remove,
            ..
        }
    ));
    assert_eq!(settings.agents.address, "[::]:8132");
    assert_eq!(settings.admin, "127.0.0.1:8133");
    assert_eq!(settings.health, "[::]:8134");
    assert_eq!(settings.strategies, [Strategy::Default]);
    assert_eq!(settings.server_count, 1);
    assert!(!settings.server_id.is_empty());
    assert_eq!(
        settings.agents.token,
        Some(TokenRule {
            namespace: "kube-system".to_owned(),
            service_account: "konnectivity-agent".to_owned(),
            audience: "system:konnectivity-server".to_owned(),
            key: None,
            binding: Binding::None,
        })
    );
}

#[test]
fn arguments_of_kamajis_sidecar_start_the_server() {
    let files = Files::new();
    let settings = read(&[
        "-v=8",
        "--logtostderr",
        "--uds-name=/run/konnectivity/konnectivity-server.socket",
        &files.flag("cluster-cert", "tls.crt"),
        &files.flag("cluster-key", "tls.key"),
        "--mode=grpc",
        "--server-port=0",
        "--agent-port=8132",
        "--admin-port=8133",
        "--health-port=8134",
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        &files.flag("kubeconfig", "kubeconfig"),
        "--authentication-audience=system:konnectivity-server",
        "--server-count=2",
    ])
    .expect("legal");
    assert_eq!(settings.server_count, 2);
}

#[test]
fn defaults_are_the_references() {
    let files = Files::new();
    let settings = read(&[
        &files.flag("cluster-cert", "tls.crt"),
        &files.flag("cluster-key", "tls.key"),
        &files.flag("server-cert", "tls.crt"),
        &files.flag("server-key", "tls.key"),
        &files.flag("server-ca-cert", "tls.crt"),
    ])
    .expect("legal");
    assert_eq!(settings.agents.address, "[::]:8091");
    assert_eq!(settings.agents.keepalive, Duration::from_hours(1));
    assert_eq!(settings.health, "[::]:8092");
    assert_eq!(settings.admin, "127.0.0.1:8095");
    assert_eq!(settings.limits.backend_dial, None);
    assert_eq!(settings.graceful_shutdown_timeout, Duration::ZERO);
    assert!(settings.leases.is_none());
    assert_eq!(settings.agents.strangers, Strangers::Admit);
    assert!(
        matches!(settings.frontend.place, Place::Tcp { ref address, .. } if address == "[::]:8090")
    );
}

#[test]
fn dial_timeout_beyond_what_a_dial_may_take_is_told() {
    let files = Files::new();
    let warnings = |timeout: &str| {
        let settings = read(&[
            "--uds-name=/run/x.socket",
            "--server-port=0",
            &files.flag("cluster-cert", "tls.crt"),
            &files.flag("cluster-key", "tls.key"),
            timeout,
        ]);
        settings.expect("legal").warnings()
    };
    assert_eq!(
        warnings("--backend-dial-timeout=30s"),
        [
            "--backend-dial-timeout=30s has the effect of 10s: every dial is answered within 10s in all; \
             give at most 10s, or 0 to leave it to them"
        ]
    );
    for timeout in ["0", "10s", "1s"] {
        let timeout = format!("--backend-dial-timeout={timeout}");
        assert!(warnings(&timeout).is_empty(), "{timeout}");
    }
}

#[test]
fn bytes_that_may_wait_for_one_frontend_have_a_least_and_a_most() {
    let files = Files::new();
    let buffer = |bytes: usize| {
        read(&[
            "--uds-name=/run/x.socket",
            "--server-port=0",
            &files.flag("cluster-cert", "tls.crt"),
            &files.flag("cluster-key", "tls.key"),
            &format!("--connection-buffer-bytes={bytes}"),
        ])
    };
    for bytes in [2_097_152, 8_388_608, 67_108_864] {
        let settings = buffer(bytes).expect("legal");
        assert_eq!(settings.limits.connection_buffer, bytes);
    }
    for bytes in [0, 2_097_151, 67_108_865] {
        assert_eq!(
            buffer(bytes).expect_err("must be refused").mistakes(),
            [format!(
                "--connection-buffer-bytes={bytes} must be from 2097152, twice what waits unwatched, to 67108864, \
                 what may wait for all connections together: 8388608 is the default"
            )]
        );
    }
    let help = <Args as clap::CommandFactory>::command()
        .render_long_help()
        .to_string();
    for number in ["2097152", "67108864", "8388608"] {
        assert!(help.contains(number), "{number} is not in the help");
    }
}

#[test]
fn every_mistake_is_named_at_once() {
    let found = mistakes(&[
        "--mode=socks",
        "--uds-name=/run/x.socket",
        "--agent-port=80",
        "--admin-port=50000",
        "--proxy-strategies=default,nearest",
        "--agent-namespace=kube-system",
        "--cluster-cert=/nowhere/tls.crt",
        "--xfr-channel-size=0",
        "--tls-min-version=VersionTLS9",
        "--cipher-suites=TLS_RSA_WITH_RC4_128_SHA",
        "--lease-label=nonsense",
    ]);
    for expected in [
        "server port should be set to 0 not 8090 for UDS",
        "please do not try to use reserved port 80 for the agent port",
        "please do not try to use ephemeral port 50000 for the admin port",
        "mode must be set to either 'grpc' or 'http-connect' not \"socks\"",
        "AgentServiceAccount cannot be empty when agent authentication is enabled",
        "AuthenticationAudience cannot be empty when agent authentication is enabled",
        "error checking cluster cert /nowhere/tls.crt, got stat /nowhere/tls.crt: no such file or directory",
        "channel size 0 must be greater than 0",
        "cipher suite TLS_RSA_WITH_RC4_128_SHA not supported, doesn't exist or considered as insecure",
    ] {
        assert!(
            found.iter().any(|mistake| mistake == expected),
            "{expected} not in {found:#?}"
        );
    }
    for part in [
        "unknown proxy strategy: nearest",
        "unsupported TLS version",
        "--lease-label",
    ] {
        assert!(
            found.iter().any(|mistake| mistake.contains(part)),
            "{part} not in {found:#?}"
        );
    }
}

#[test]
fn tokens_and_client_certificates_exclude_each_other() {
    let files = Files::new();
    let found = mistakes(&[
        "--uds-name=/run/x.socket",
        "--server-port=0",
        &files.flag("cluster-cert", "tls.crt"),
        &files.flag("cluster-key", "tls.key"),
        &files.flag("cluster-ca-cert", "tls.crt"),
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        "--authentication-audience=system:konnectivity-server",
    ]);
    assert_eq!(
        found,
        ["--cluster-ca-cert can not be used when agent authentication is enabled"]
    );
}

#[test]
fn tokens_may_be_checked_by_a_key() {
    let files = Files::new();
    let key = files.flag("service-account-public-key-file", "tls.crt");
    let base = [
        "--uds-name=/run/x.socket",
        "--server-port=0",
        &files.flag("cluster-cert", "tls.crt"),
        &files.flag("cluster-key", "tls.key"),
    ];
    let tokens = [
        "--agent-namespace=kube-system",
        "--agent-service-account=konnectivity-agent",
        "--authentication-audience=system:konnectivity-server",
        "--service-account-issuer=https://one",
        "--service-account-issuer=https://two",
        "--review-accepted-tokens",
        "--bind-agent-identifiers=true",
        &key,
    ];
    let settings = read(&[base.as_slice(), &tokens].concat()).expect("legal");
    let rule = settings.agents.token.expect("tokens are asked for");
    assert_eq!(rule.binding, Binding::Node);
    let found = rule.key.expect("a key");
    assert!(found.file.ends_with("tls.crt"));
    assert_eq!(found.issuers, ["https://one", "https://two"]);
    assert_eq!(found.opinion, SecondOpinion::Background);
    assert_eq!(settings.limits.reviews.in_flight, 32);
    assert_eq!(settings.limits.reviews.fresh, Duration::from_mins(1));

    for (flags, mistake) in [
        (vec![key.as_str()], "checks nothing without tokens"),
        (
            vec!["--service-account-issuer=a"],
            "--service-account-issuer says something",
        ),
        (
            vec!["--review-accepted-tokens"],
            "--review-accepted-tokens says something",
        ),
        (vec!["--token-reviews-in-flight=0"], "32 is the default"),
        (
            vec![
                "--service-account-public-key-file=/nowhere",
                "--agent-namespace=a",
                "--agent-service-account=b",
                "--authentication-audience=c",
            ],
            "error checking service account public key /nowhere",
        ),
    ] {
        let found = mistakes(&[base.as_slice(), &flags].concat());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(mistake), "{found:?} lacks {mistake}");
    }
}

#[test]
fn program_without_certificates_is_refused() {
    let found = mistakes(&[]);
    assert_eq!(
        found,
        [
            "server ca cert must be set when in TCP mode (uds-name is empty)",
            "failed to load X509 key pair: agents connect over TLS, set --cluster-cert and --cluster-key",
        ]
    );
}

#[test]
fn peering_needs_names_and_certificates() {
    let files = Files::new();
    let agents = [
        files.flag("cluster-cert", "tls.crt"),
        files.flag("cluster-key", "tls.key"),
        "--uds-name=/run/x.socket".to_owned(),
        "--server-port=0".to_owned(),
    ];
    let with = |more: &[&str]| {
        let words: Vec<&str> = agents
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        read(&words)
    };
    assert!(with(&[]).expect("legal").peers.is_none());
    let peers = with(&[
        "--peer-dns=peers.tenants.svc:8135,[fd00::1]:8135",
        &files.flag("peer-cert", "tls.crt"),
        &files.flag("peer-key", "tls.key"),
        &files.flag("peer-ca-cert", "tls.crt"),
    ]);
    let peers = peers.expect("legal").peers.expect("asked for");
    assert_eq!(peers.names, ["peers.tenants.svc:8135", "[fd00::1]:8135"]);
    assert_eq!((peers.address.as_str(), peers.port), ("[::]:8135", 8135));
    let found = with(&["--peer-dns=peers", "--peer-port=80"]).expect_err("must be refused");
    assert_eq!(
        found.mistakes(),
        [
            "--peer-cert must be set with --peer-dns: servers know each other by certificates",
            "--peer-key must be set with --peer-dns: servers know each other by certificates",
            "--peer-ca-cert must be set with --peer-dns: servers know each other by certificates",
            "--peer-dns=\"peers\" is not HOST:PORT: the port is the others' --peer-port, 8135 unless set",
            "please do not try to use reserved port 80 for the peer port",
        ]
    );
    let cert = files.flag("peer-cert", "tls.crt");
    let found = with(&[&cert]).expect_err("must be refused");
    assert_eq!(
        found.mistakes(),
        [format!(
            "{cert} serves nobody without other servers: set --peer-dns, or take it away"
        )]
    );
}
