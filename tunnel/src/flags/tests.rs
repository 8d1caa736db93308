//! What Go's pflag does, held against what we do.

use std::time::Duration;

use clap::Parser;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Parser)]
#[command(name = "sample")]
struct Sample {
    #[arg(long, default_value = "1h0m0s", value_parser = go_duration)]
    keepalive_time: Duration,
    #[arg(long)]
    sync_forever: bool,
    #[arg(long, default_value = "true")]
    delete_existing: bool,
    #[arg(long)]
    alpn_proto: Vec<String>,
    #[arg(long, default_value = "")]
    agent_identifiers: String,
    #[arg(long, default_value_t = 8091)]
    port: i32,
    #[arg(long, alias = "lease-label", default_value = "a=b")]
    lease_label_selector: String,
    #[arg(long, env = "SAMPLE_PROXY", hide_env_values = true, default_value = "")]
    proxy: String,
    #[arg(long, env = "SAMPLE_UNSET", default_value = "")]
    search: String,
    #[arg(long, env = "PATH", default_value = "")]
    again: String,
    #[arg(long, default_value = "")]
    kubeconfig: PathBuf,
    #[command(flatten)]
    klog: Klog,
}

impl Flags for Sample {
    const DEPRECATED: &'static [(&'static str, &'static str)] =
        &[("lease-label", "use --lease-label-selector instead")];
    const SECOND_VARIABLES: &'static [(&'static str, &'static str)] =
        &[("search", "PATH"), ("again", "HOME")];
}

fn read(words: &[&str]) -> Result<Parsed<Sample>, Stop> {
    parse::<Sample>(
        std::iter::once("sample")
            .chain(words.iter().copied())
            .map(str::to_owned),
    )
}

fn args(words: &[&str]) -> Sample {
    read(words).unwrap().args
}

fn refusal(words: &[&str]) -> String {
    match read(words).unwrap_err() {
        Stop::Refused { reason, .. } => reason,
        Stop::Help(text) => panic!("help instead of a refusal: {text}"),
    }
}

#[test]
fn a_value_follows_its_flag_or_an_equals_sign() {
    assert_eq!(args(&["--port", "1"]).port, 1);
    assert_eq!(args(&["--port=2"]).port, 2);
    assert_eq!(args(&["--agent-identifiers="]).agent_identifiers, "");
    assert_eq!(
        args(&["--agent-identifiers", "--port=3"]).agent_identifiers,
        "--port=3"
    );
}

#[test]
fn an_empty_path_is_a_value() {
    assert_eq!(args(&[]).kubeconfig, PathBuf::new());
    assert_eq!(args(&["--kubeconfig="]).kubeconfig, PathBuf::new());
    assert_eq!(
        args(&["--kubeconfig", "/a"]).kubeconfig,
        PathBuf::from("/a")
    );
}

#[test]
fn a_boolean_takes_its_value_only_after_an_equals_sign() {
    assert!(args(&["--sync-forever"]).sync_forever);
    assert!(!args(&["--sync-forever=false"]).sync_forever);
    assert!(
        args(&["--sync-forever", "false"]).sync_forever,
        "`false` is a word to ignore"
    );
    assert!(args(&[]).delete_existing);
    assert!(!args(&["--delete-existing=F"]).delete_existing);
    assert!(refusal(&["--sync-forever=yes"]).contains("\"yes\" for \"--sync-forever\" flag"));
}

#[test]
fn the_last_of_equal_flags_wins_and_lists_add_up() {
    assert_eq!(args(&["--port=1", "--port=2"]).port, 2);
    let lists = args(&["--alpn-proto=a,b", "--alpn-proto", "c", "--alpn-proto=[]"]);
    assert_eq!(string_slice(&lists.alpn_proto), ["a", "b", "c"]);
    assert!(string_slice(&args(&["--alpn-proto=[]"]).alpn_proto).is_empty());
    assert_eq!(string_slice(&["\"a,\"\"b\",c".to_owned()]), ["a,\"b", "c"]);
}

#[test]
fn verbosity_has_a_short_form_and_klog_flags_parse() {
    assert_eq!(args(&["-v=8"]).klog.v, 8);
    assert_eq!(args(&["-v", "6"]).klog.v, 6);
    assert_eq!(
        args(&["--v=7", "--logtostderr", "--skip_headers"]).klog.v,
        7
    );
    assert_eq!(args(&[]).klog.v, 4);
    assert!(!args(&["--logtostderr=false"]).klog.logtostderr);
}

#[test]
fn words_that_are_no_flags_are_ignored() {
    assert_eq!(
        args(&["run", "--port=5", "now", "--", "--nonsense"]).port,
        5
    );
}

#[test]
fn a_mistake_names_flag_and_value() {
    assert!(refusal(&["--nonsense=1"]).starts_with("unknown flag: --nonsense"));
    assert!(refusal(&["--prot=1"]).contains("did you mean --port"));
    assert_eq!(refusal(&["--port"]), "flag needs an argument: --port");
    assert!(refusal(&["--port=x"]).starts_with("invalid argument \"x\" for \"--port\" flag: "));
    assert!(refusal(&["--keepalive-time=10"]).contains("missing unit"));
    assert!(refusal(&["--log-format=xml"]).contains("--log-format"));
}

#[test]
fn help_is_no_mistake_and_explains_every_flag() {
    let Stop::Help(text) = read(&["--help"]).unwrap_err() else {
        panic!("no help")
    };
    assert!(text.contains("--keepalive-time"), "{text}");
}

#[test]
fn a_deprecated_flag_works_and_says_what_to_use() {
    let parsed = read(&["--lease-label=x=y"]).unwrap();
    assert_eq!(parsed.args.lease_label_selector, "x=y");
    let line = "Flag --lease-label has been deprecated, use --lease-label-selector instead";
    assert_eq!(parsed.notices, [line]);
}

#[test]
fn values_show_defaults_and_what_was_given() {
    let parsed = read(&["--port=7"]).unwrap();
    assert!(
        parsed.values.contains(&("port".to_owned(), "7".to_owned())),
        "{parsed:?}"
    );
    assert!(
        parsed
            .values
            .contains(&("keepalive-time".to_owned(), "1h0m0s".to_owned()))
    );
}

#[test]
fn the_first_variable_that_has_a_value_counts_unless_the_flag_is_given() {
    let path = std::env::var_os("PATH").expect("every process has one");
    assert_eq!(*args(&[]).search, *path, "the second one");
    assert_eq!(*args(&[]).again, *path, "the first one");
    assert_eq!(args(&["--search=x"]).search, "x");
}

#[test]
fn values_that_may_hold_a_password_are_not_shown() {
    let shown = |words: &[&str]| {
        let parsed = read(words).unwrap();
        let proxy = parsed.values.into_iter().find(|(name, _)| name == "proxy");
        (parsed.args.proxy, proxy.unwrap().1)
    };
    let url = "http://me:pass@proxy:3128".to_owned();
    assert_eq!(shown(&["--proxy", &url]), (url, "(hidden)".to_owned()));
    assert_eq!(shown(&[]), (String::new(), String::new()));
}

#[test]
fn durations_read_as_go_writes_them() {
    for (text, millis) in [
        ("1h0m0s", 3_600_000),
        ("300ms", 300),
        ("1.5s", 1500),
        ("0", 0),
        ("2m3s", 123_000),
    ] {
        assert_eq!(
            go_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in [
        "",
        "1",
        "1x",
        "s",
        "-1s",
        ".",
        "1h-2m",
        "99999999999999999999999h",
    ] {
        assert!(go_duration(text).is_err(), "{text}");
    }
    assert_eq!(format_duration(Duration::from_hours(1)), "1h0m0s");
    assert_eq!(format_duration(Duration::from_millis(1500)), "1.5s");
    assert_eq!(format_duration(Duration::from_micros(1500)), "1.5ms");
    assert_eq!(format_duration(Duration::ZERO), "0s");
}

proptest! {
    #[test]
    fn whole_milliseconds_survive_the_round_trip(millis in 0_u64..1_000_000_000) {
        let duration = Duration::from_millis(millis);
        let read = go_duration(&format_duration(duration)).unwrap();
        prop_assert!(read.abs_diff(duration) < Duration::from_micros(1));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "\\PC*") {
        let _ = go_duration(&text);
        let _ = go_bool(&text);
        let _ = string_slice(std::slice::from_ref(&text));
    }
}
