//! Every flag of the reference's programs, by name and default, held against ours: one table, typed from the
//! reference's text (konnectivity.md §2.1 and §3.1; klog's own defaults where that text gives none).

use std::collections::BTreeMap;

use tunnel::flags::{self, Flags, format_duration, go_duration};
use tunnel::{agent, server};

use What::{Heard, Ignored};

/// What becomes of a flag here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It means what it means in the reference.
    Heard,
    /// It parses, and its help says `Accepted` and why it means nothing.
    Ignored,
}

/// Name, default and what becomes of it.
type Row = (&'static str, &'static str, What);

/// §2.1. What is random or comes from the environment has no default.
const SERVER: [Row; 41] = [
    ("server-cert", "", Heard),
    ("server-key", "", Heard),
    ("server-ca-cert", "", Heard),
    ("cluster-cert", "", Heard),
    ("cluster-key", "", Heard),
    ("cluster-ca-cert", "", Heard),
    ("mode", "grpc", Heard),
    ("uds-name", "", Heard),
    ("delete-existing-uds-file", "true", Heard),
    ("server-port", "8090", Heard),
    ("server-bind-address", "", Heard),
    ("agent-port", "8091", Heard),
    ("agent-bind-address", "", Heard),
    ("admin-port", "8095", Heard),
    ("admin-bind-address", "127.0.0.1", Heard),
    ("health-port", "8092", Heard),
    ("health-bind-address", "", Heard),
    ("keepalive-time", "1h", Heard),
    ("frontend-keepalive-time", "1h", Heard),
    ("enable-profiling", "false", Ignored),
    ("enable-contention-profiling", "false", Ignored),
    ("server-id", "", Heard),
    ("server-count", "1", Heard),
    ("agent-namespace", "", Heard),
    ("agent-service-account", "", Heard),
    ("authentication-audience", "", Heard),
    ("kubeconfig", "", Heard),
    ("kubeconfig-qps", "0", Ignored),
    ("kubeconfig-burst", "0", Ignored),
    (
        "kube-api-content-type",
        "application/vnd.kubernetes.protobuf",
        Ignored,
    ),
    ("proxy-strategies", "default", Heard),
    ("cipher-suites", "[]", Heard),
    ("tls-min-version", "", Heard),
    ("xfr-channel-size", "10", Ignored),
    ("enable-lease-controller", "false", Heard),
    ("lease-namespace", "kube-system", Heard),
    ("lease-label", "k8s-app=konnectivity-server", Heard),
    ("graceful-shutdown-timeout", "0", Heard),
    ("backend-dial-timeout", "0", Heard),
    ("warn-on-channel-limit", "true", Ignored),
    ("frontend-write-channel-size", "10", Ignored),
];

/// §3.1.
const AGENT: [Row; 28] = [
    ("agent-cert", "", Heard),
    ("agent-key", "", Heard),
    ("ca-cert", "", Heard),
    ("proxy-server-host", "127.0.0.1", Heard),
    ("proxy-server-port", "8091", Heard),
    ("alpn-proto", "[]", Heard),
    ("health-server-host", "", Heard),
    ("health-server-port", "8093", Heard),
    ("admin-bind-address", "127.0.0.1", Heard),
    ("admin-server-port", "8094", Heard),
    ("enable-profiling", "false", Ignored),
    ("enable-contention-profiling", "false", Ignored),
    ("agent-id", "", Heard),
    ("agent-identifiers", "", Heard),
    ("sync-interval", "1s", Heard),
    ("sync-interval-cap", "10s", Heard),
    ("probe-interval", "1s", Ignored),
    ("keepalive-time", "1h", Heard),
    ("service-account-token-path", "", Heard),
    ("warn-on-channel-limit", "false", Ignored),
    ("sync-forever", "false", Heard),
    ("xfr-channel-size", "150", Ignored),
    ("count-server-leases", "false", Heard),
    ("lease-namespace", "kube-system", Heard),
    ("lease-label-selector", "k8s-app=konnectivity-server", Heard),
    ("server-count-source", "default", Heard),
    ("kubeconfig", "", Heard),
    (
        "kube-api-content-type",
        "application/vnd.kubernetes.protobuf",
        Ignored,
    ),
];

/// Both programs': klog's flags with dashes for underscores.
const KLOG: [Row; 15] = [
    ("add-dir-header", "false", Ignored),
    ("alsologtostderr", "false", Heard),
    ("alsologtostderrthreshold", "0", Ignored),
    ("legacy-stderr-threshold-behavior", "true", Ignored),
    ("log-backtrace-at", ":0", Ignored),
    ("log-dir", "", Ignored),
    ("log-file", "", Heard),
    ("log-file-max-size", "1800", Ignored),
    ("logtostderr", "true", Heard),
    ("one-output", "false", Ignored),
    ("skip-headers", "false", Ignored),
    ("skip-log-headers", "false", Ignored),
    ("stderrthreshold", "2", Ignored),
    ("v", "4", Heard),
    ("vmodule", "", Ignored),
];

/// Flags of our own.
const OURS: [(&str, &[&str]); 2] = [
    (
        "konnectivity-server",
        &[
            "peer-dns",
            "peer-port",
            "peer-bind-address",
            "peer-cert",
            "peer-key",
            "peer-ca-cert",
            "tunnel-mode",
            "native-keepalive-time",
            "allow-unauthenticated-agents",
            "service-account-public-key-file",
            "service-account-issuer",
            "review-accepted-tokens",
            "token-reviews-in-flight",
            "token-review-cache-ttl",
            "bind-agent-identifiers",
            "stalled-connection-timeout",
            "connection-buffer-bytes",
            "max-connections",
            "max-pending-dials",
            "max-agents",
            "log-format",
        ],
    ),
    (
        "konnectivity-agent",
        &[
            "tunnel-mode",
            "native-keepalive-time",
            "https-proxy",
            "no-proxy",
            "graceful-shutdown-timeout",
            "log-format",
        ],
    ),
];

/// A value as Go would read it: durations and lists have many spellings.
fn meaning(value: &str) -> String {
    match go_duration(value) {
        Ok(duration) => format_duration(duration),
        Err(_) => value.trim_matches(['[', ']']).to_owned(),
    }
}

fn values<A: Flags>(words: &[String]) -> BTreeMap<String, String> {
    let program = std::iter::once("program".to_owned());
    let parsed = flags::parse::<A>(program.chain(words.iter().cloned()));
    parsed
        .expect("every flag parses")
        .values
        .into_iter()
        .collect()
}

/// Holds one program against its rows.
fn holds<A: Flags>(program: &str, rows: &[Row]) {
    let rows: Vec<&Row> = rows.iter().chain(&KLOG).collect();
    let unset = values::<A>(&[]);
    let set: Vec<String> = rows
        .iter()
        .map(|(name, default, _)| format!("--{name}={default}"))
        .collect();
    let set = values::<A>(&set);
    let command = A::command();
    for (name, default, what) in &rows {
        let ours = unset.get(*name);
        let ours = ours.unwrap_or_else(|| panic!("{program} has no --{name}"));
        assert_eq!(meaning(ours), meaning(default), "{program} --{name}");
        assert_eq!(
            meaning(&set[*name]),
            meaning(default),
            "{program} --{name} given"
        );
        let argument = command
            .get_arguments()
            .find(|it| it.get_long() == Some(*name));
        let help = argument
            .and_then(clap::Arg::get_help)
            .map(ToString::to_string);
        let help = help.unwrap_or_else(|| panic!("{program} --{name} has no help"));
        let says = if help.starts_with("Accepted") {
            Ignored
        } else {
            Heard
        };
        assert_eq!(says, *what, "{program} --{name}: {help}");
    }
    let (_, ours) = OURS.iter().find(|(of, _)| *of == program).expect("listed");
    for name in unset.keys() {
        let is_theirs = rows.iter().any(|(theirs, ..)| theirs == name);
        assert_ne!(
            is_theirs,
            ours.contains(&name.as_str()),
            "{program} --{name}"
        );
    }
    let known = rows
        .iter()
        .map(|(name, ..)| *name)
        .chain(ours.iter().copied());
    assert_eq!(
        known.count(),
        unset.len(),
        "{program}: a flag is listed twice"
    );
}

#[test]
fn every_flag_of_the_references_server_has_its_name_and_default() {
    holds::<server::args::Args>("konnectivity-server", &SERVER);
}

#[test]
fn every_flag_of_the_references_agent_has_its_name_and_default() {
    holds::<agent::Args>("konnectivity-agent", &AGENT);
}

#[test]
fn flags_that_the_reference_calls_deprecated_still_parse_and_say_so() {
    let words = |flag: &str| ["program".to_owned(), flag.to_owned()];
    let server = flags::parse::<server::args::Args>(words("--warn-on-channel-limit=false"));
    let agent = flags::parse::<agent::Args>(words("--lease-label=a=b")).expect("an alias");
    assert_eq!(agent.args.leases.lease_label_selector, "a=b");
    for notices in [server.expect("a flag").notices, agent.notices] {
        assert_eq!(notices.len(), 1);
        assert!(notices[0].contains("has been deprecated"), "{notices:?}");
    }
}
