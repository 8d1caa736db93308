//! Command lines of the field, and wrong ones.

use std::time::Duration;

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
    assert!(
        matches!(settings.frontend.place, Place::Tcp { ref address, .. } if address == "[::]:8090")
    );
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
