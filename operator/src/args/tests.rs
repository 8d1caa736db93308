//! Holds `args.rs` to what it promises.

use super::*;

fn settle(flags: &[&str]) -> Result<Settings, BadArgs> {
    let args = std::iter::once("warren-operator").chain(flags.iter().copied());
    Args::try_parse_from(args)
        .expect("the flags parse")
        .settle()
}

#[test]
fn no_flags_give_the_documented_defaults() {
    let settings = settle(&[]).unwrap();
    assert_eq!(settings.metrics.unwrap().port(), 8080);
    assert_eq!(settings.health.unwrap().port(), 8081);
    assert_eq!(settings.admission.unwrap().address.port(), 9443);
    assert_eq!(settings.defaults.data_store.as_deref(), Some("default"));
    assert!(settings.leader_elect && settings.install_crds);
}

#[test]
fn every_mistake_is_named_at_once() {
    let error = settle(&[
        "--metrics-bind-address=nowhere",
        "--controller-reconcile-timeout=soon",
        "--max-concurrent-tcp-reconciles=0",
    ])
    .unwrap_err();
    assert_eq!(error.mistakes.len(), 3, "{error}");
    for flag in [
        "--metrics-bind-address=nowhere",
        "timeout=soon",
        "reconciles=0",
    ] {
        assert!(error.to_string().contains(flag), "{error}");
    }
}

#[test]
fn the_flags_of_a_kamaji_chart_start_this_program() {
    let settings = settle(&[
        "--health-probe-bind-address=:8081",
        "--leader-elect",
        "--metrics-bind-address=:8080",
        "--tmp-directory=/tmp/kamaji",
        "--datastore=default",
        "--disable-telemetry=true",
        "--zap-devel",
        "--pod-namespace=kamaji-system",
        "--webhook-service-name=kamaji-webhook-service",
    ])
    .unwrap();
    assert_eq!(settings.namespace, "kamaji-system");
    assert_eq!(
        settings.without_effect,
        ["--tmp-directory", "--disable-telemetry", "--zap-devel"]
    );
}

#[test]
fn listeners_can_be_turned_off_and_bools_be_said() {
    let settings = settle(&[
        "--metrics-bind-address=0",
        "--webhook-bind-address=0",
        "--leader-elect=false",
    ])
    .unwrap();
    assert_eq!((settings.metrics, settings.admission), (None, None));
    assert!(!settings.leader_elect);
}

#[test]
fn the_last_of_a_repeated_flag_counts_as_in_go() {
    let settings = settle(&[
        "--datastore=first",
        "--leader-elect=true",
        "--zap-devel",
        "--datastore=last",
        "--leader-elect=false",
        "--zap-devel=false",
    ])
    .unwrap();
    assert_eq!(settings.defaults.data_store.as_deref(), Some("last"));
    assert!(!settings.leader_elect);
}

#[test]
fn help_can_be_read() {
    use clap::CommandFactory as _;
    let help = Args::command().render_long_help().to_string();
    insta::assert_snapshot!(help);
}
