//! Command lines of the field, and every mistake a person can make.

use super::*;
use crate::flags;

fn args(line: &[&str]) -> Args {
    let words = std::iter::once("/proxy-agent")
        .chain(line.iter().copied())
        .map(str::to_owned);
    flags::parse::<Args>(words).unwrap().args
}

#[test]
fn arguments_of_the_kubernetes_task_page_start_us() {
    let (ca, token) = (
        tempfile::NamedTempFile::new(),
        tempfile::NamedTempFile::new(),
    );
    let (ca, token) = (ca.unwrap(), token.unwrap());
    let line = [
        "--logtostderr=true",
        &format!("--ca-cert={}", ca.path().display()),
        "--proxy-server-host=35.225.206.7",
        "--proxy-server-port=8132",
        "--admin-server-port=8133",
        "--health-server-port=8134",
        &format!("--service-account-token-path={}", token.path().display()),
    ];
    let settings = Settings::new(&args(&line)).unwrap();
    assert_eq!(
        (settings.server.host.as_str(), settings.server.port),
        ("35.225.206.7", 8132)
    );
    assert_eq!(settings.health, ("[::]:8134".to_owned(), 8134));
    assert_eq!(settings.admin, "127.0.0.1:8133");
    assert_eq!(settings.server.token.as_deref(), Some(token.path()));
    assert_eq!(settings.server.alpn, ["h2"]);
    assert_eq!(settings.server.mode, TunnelMode::Auto);
    assert_eq!(settings.server.native_keepalive, Duration::from_secs(5));
    assert!(settings.leases.is_none());
    assert_eq!(settings.agent_id.len(), 36, "a random id");
}

#[test]
fn the_references_test_runner_starts_us() {
    let ca = tempfile::NamedTempFile::new().unwrap();
    let line = [
        &format!("--ca-cert={}", ca.path().display()),
        "--agent-cert=",
        "--agent-key=",
        "--alpn-proto=[]",
        "--agent-identifiers=",
        "--agent-id=one",
        "--keepalive-time=1h0m0s",
        "--sync-interval=100ms",
        "--sync-interval-cap=1s",
        "--probe-interval=100ms",
        "--sync-forever=true",
        "--warn-on-channel-limit=false",
        "--xfr-channel-size=150",
        "--count-server-leases=false",
        "--server-count-source=max",
        "--kubeconfig=",
        "--enable-profiling=false",
        "--enable-contention-profiling=false",
        "--kube-api-content-type=application/vnd.kubernetes.protobuf",
        "-v=8",
    ];
    let line: Vec<&str> = line.iter().map(AsRef::as_ref).collect();
    let settings = Settings::new(&args(&line)).unwrap();
    assert_eq!(settings.agent_id, "one");
    assert_eq!(settings.pace.when_complete, WhenComplete::KeepLooking);
    assert_eq!(settings.count_source, CountSource::Max);
    assert_eq!(settings.server.keepalive, Duration::from_hours(1));
}

#[test]
fn every_mistake_is_named_at_once() {
    let line = [
        "--agent-key=/nonexistent/key",
        "--proxy-server-port=0",
        "--health-server-port=70000",
        "--sync-interval=20s",
        "--xfr-channel-size=0",
        "--enable-contention-profiling",
        "--agent-identifiers=ipv4=1.2.3.4&planet=mars",
        "--server-count-source=guess",
        "--tunnel-mode=quic",
        "--native-keepalive-time=1ms",
        "--lease-label-selector=k8s-app in konnectivity-server",
    ];
    let mistakes = Settings::new(&args(&line)).unwrap_err().join("\n");
    for words in [
        "error checking agent key /nonexistent/key, got stat /nonexistent/key: no such file",
        "--agent-cert and --agent-key go together",
        "failed to load CA cert",
        "--proxy-server-port=0",
        "--health-server-port=70000",
        "--sync-interval=20s must not be longer than --sync-interval-cap=10s",
        "channel size 0 must be greater than 0",
        "--enable-contention-profiling needs --enable-profiling",
        "agent address is invalid: unknown address type: planet",
        "--server-count-source=guess",
        "--tunnel-mode=quic: give auto, legacy or native",
        "--native-keepalive-time=1ms is too short: give at least 100ms",
        "--lease-label-selector=\"k8s-app in konnectivity-server\": \"k8s-app in konnectivity-server\" is no label's name",
        "give key=value, key!=value, key in (a,b), key notin (a,b), key or !key, with commas between",
    ] {
        assert!(mistakes.contains(words), "{words:?} is not in:\n{mistakes}");
    }
}

#[test]
fn proxy_and_exemptions_are_read_in_small_letters_too() {
    use clap::CommandFactory as _;

    let command = Args::command();
    for (flag, small) in <Args as flags::Flags>::SECOND_VARIABLES {
        let mut arguments = command.get_arguments();
        let argument = arguments.find(|argument| argument.get_long() == Some(*flag));
        let large = argument.and_then(clap::Arg::get_env).unwrap();
        assert_eq!(large.to_ascii_lowercase(), *small);
    }
    let flags = <Args as flags::Flags>::SECOND_VARIABLES.iter();
    assert!(flags.map(|(flag, _)| *flag).eq(["https-proxy", "no-proxy"]));
}

#[test]
fn pings_keep_the_distance_a_go_server_demands() {
    let ca = tempfile::NamedTempFile::new().unwrap();
    let ca = format!("--ca-cert={}", ca.path().display());
    let settings = Settings::new(&args(&[&ca, "--keepalive-time=5s"])).unwrap();
    assert_eq!(settings.server.keepalive, Duration::from_secs(30));
}
