//! What the rules of this room promise, shown on real keys and certificates.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::fixtures::{kamaji_authority, kamaji_leaf, pkcs1, sec1};
use super::kubeconfig::{Kubeconfig, identity};
use super::leaf::San;
use super::rotation::{answer, is_asked, judge};
use super::*;

fn day(days: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_hours(days * 24)
}

fn names(of: &[&str]) -> BTreeSet<San> {
    of.iter().map(|name| San::parse(name)).collect()
}

fn authority() -> Authority {
    Authority::create(authority::CLUSTER, day(0)).unwrap()
}

fn serving(of: &[&str]) -> Request {
    Request::server(Leaf::ApiServer, names(of))
}

#[test]
fn an_rsa_authority_in_pkcs1_is_adopted_and_signs() {
    let pair = kamaji_authority(authority::CLUSTER, day(0));
    assert!(pair.key().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let authority = Authority::read(pair.clone()).unwrap();
    assert_eq!(authority.pair(), &pair, "adopting changes nothing");

    let request = serving(&["localhost", "10.0.0.1"]);
    let leaf = authority.issue(&request, day(1)).unwrap();
    assert!(matches!(
        judge(Some(&leaf), &request, &authority, day(2)),
        Verdict::Keep { .. }
    ));
}

#[test]
fn a_leaf_with_an_rsa_key_in_pkcs1_is_kept() {
    let authority = Authority::read(kamaji_authority(authority::CLUSTER, day(0))).unwrap();
    let request = serving(&["localhost"]);
    let leaf = kamaji_leaf(&authority, &request, day(0));

    assert!(matches!(
        judge(Some(&leaf), &request, &authority, day(1)),
        Verdict::Keep { .. }
    ));
}

#[test]
fn service_account_keys_in_pkcs1_are_adopted_as_they_stand() {
    let key = generate(Algorithm::Rsa2048).unwrap();
    let (private, public) = (pkcs1(&key), key.public_key_pem());
    let keys = ServiceAccountKeys::read(&private, Some(&public)).unwrap();
    assert_eq!(
        (keys.private(), keys.public()),
        (private.as_str(), public.as_str())
    );

    let foreign = generate(Algorithm::Rsa2048).unwrap().public_key_pem();
    assert_eq!(
        ServiceAccountKeys::read(&private, Some(&foreign))
            .unwrap()
            .public(),
        public
    );
    assert_eq!(
        ServiceAccountKeys::read(&private, None).unwrap().public(),
        public
    );
}

#[test]
fn an_ec_authority_in_sec1_is_adopted() {
    let made = authority();
    let key = rcgen::KeyPair::from_pem(made.pair().key()).unwrap();
    let adopted = Authority::read(KeyPair::new(made.certificate(), sec1(&key))).unwrap();
    let leaf = adopted.issue(&serving(&["localhost"]), day(0)).unwrap();
    let verdict = judge(Some(&leaf), &serving(&["localhost"]), &made, day(1));
    assert!(matches!(verdict, Verdict::Keep { .. }));
}

#[test]
fn an_authority_that_cannot_sign_is_an_error_and_not_replaced() {
    let (one, other) = (authority(), authority());
    let swapped = KeyPair::new(one.certificate(), other.pair().key());
    assert!(matches!(
        Authority::read(swapped),
        Err(Error::Mismatch { .. })
    ));

    let leaf = one.issue(&serving(&["localhost"]), day(0)).unwrap();
    assert!(matches!(
        Authority::read(leaf),
        Err(Error::NotAnAuthority { .. })
    ));
    assert!(matches!(
        Authority::read(KeyPair::new("nonsense", one.pair().key())),
        Err(Error::Certificate { .. })
    ));
    assert!(matches!(
        Authority::read(KeyPair::new(one.certificate(), "nonsense")),
        Err(Error::Key(_))
    ));
}

/// Judges, and says `keep` or why not.
fn verdict(leaf: Option<&KeyPair>, wanted: &Request, by: &Authority, days: i64) -> String {
    match judge(leaf, wanted, by, day(days)) {
        Verdict::Keep { .. } => "keep".to_owned(),
        Verdict::Renew(reason) => reason.to_string(),
    }
}

#[test]
fn a_leaf_is_renewed_for_what_it_is() {
    let (one, other) = (authority(), authority());
    let wanted = serving(&["localhost", "10.0.0.1"]);
    let leaf = one.issue(&wanted, day(0)).unwrap();
    let swapped = KeyPair::new(leaf.certificate(), other.pair().key());
    let broken = KeyPair::new("nonsense", leaf.key());

    assert_eq!(verdict(Some(&leaf), &wanted, &one, 1), "keep");
    assert_eq!(verdict(None, &wanted, &one, 1), "there was none");
    let broken = verdict(Some(&broken), &wanted, &one, 1);
    assert_eq!(broken, "the old one could not be read");
    let swapped = verdict(Some(&swapped), &wanted, &one, 1);
    assert_eq!(swapped, "the old key did not belong to the certificate");
    let foreign = verdict(Some(&leaf), &wanted, &other, 1);
    assert_eq!(
        foreign,
        "the old one was not signed by the present authority"
    );
}

#[test]
fn a_leaf_is_renewed_at_two_thirds_of_its_life() {
    let one = authority();
    let wanted = serving(&["localhost"]);
    let leaf = one.issue(&wanted, day(0)).unwrap();
    for (days, expected) in [
        (0, "keep"),
        (242, "keep"),
        (244, "two thirds of the old one's life were over"),
        (400, "two thirds of the old one's life were over"),
    ] {
        assert_eq!(
            verdict(Some(&leaf), &wanted, &one, days),
            expected,
            "day {days}"
        );
    }
}

#[test]
fn a_leaf_is_renewed_for_what_it_lacks_and_not_for_what_it_has_beyond() {
    let one = authority();
    let wanted = serving(&["localhost", "10.0.0.1"]);
    let leaf = one.issue(&wanted, day(0)).unwrap();
    let judged = |wanted: &Request| verdict(Some(&leaf), wanted, &one, 1);

    assert_eq!(judged(&serving(&["LOCALHOST"])), "keep");
    let more = serving(&["localhost", "10.0.0.1", "API.example.org"]);
    assert_eq!(
        judged(&more),
        "the old one lacked the names api.example.org"
    );
    let another = judged(&Request::client(Leaf::Scheduler));
    assert_eq!(another, "the old one named another subject");
    let both = Request {
        usage: leaf::Usage::Both,
        ..wanted.clone()
    };
    assert_eq!(judged(&both), "the old one lacked a key usage");
}

#[test]
fn the_annotation_asks_until_it_is_answered() {
    assert!(!is_asked(None));
    assert!(is_asked(Some("")));
    assert!(is_asked(Some("true")));
    assert!(!is_asked(Some(&answer(day(3)))));
    assert_eq!(answer(day(0)), "2026-01-01T00:00:00Z");
}

#[test]
fn nobody_but_the_break_glass_administrator_is_a_master() {
    use Leaf::{
        Admin, ApiServer, ControllerManager, FrontProxyClient, Konnectivity, KubeletClient,
        Scheduler,
    };
    let others = [
        ApiServer,
        KubeletClient,
        FrontProxyClient,
        Admin,
        ControllerManager,
        Scheduler,
        Konnectivity,
    ];
    for leaf in others {
        assert_ne!(
            Request::client(leaf).organization,
            Some("system:masters"),
            "{leaf:?}"
        );
    }
    assert_eq!(Request::data_store_user("u").organization, None);
    assert_eq!(
        Request::client(Leaf::SuperAdmin).organization,
        Some("system:masters")
    );
}

#[test]
fn debug_output_holds_no_key() {
    let authority = authority();
    let keys = ServiceAccountKeys::create().unwrap();
    let text = format!("{authority:?} {keys:?}");
    assert!(
        text.contains("redacted") && !text.contains("PRIVATE KEY"),
        "{text}"
    );
}

fn kubeconfig(cluster: &str) -> Kubeconfig {
    let authority = authority();
    Kubeconfig {
        cluster: cluster.to_owned(),
        user: "kubernetes-admin".to_owned(),
        server: "https://10.0.0.1:6443".to_owned(),
        server_name: None,
        authority: authority.certificate().to_owned(),
        identity: authority
            .issue(&Request::client(Leaf::Admin), day(0))
            .unwrap(),
    }
}

#[test]
fn a_kubeconfig_reads_back_as_what_was_written() {
    for cluster in ["alpha", "yes", "null", "no", "a-1e3"] {
        let written = kubeconfig(cluster);
        let text = written.render();
        assert_eq!(identity(&text).as_ref(), Some(&written.identity));
        assert!(written.is_said_by(&text));
        let parsed = kube::config::Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(
            parsed.current_context.unwrap(),
            format!("kubernetes-admin@{cluster}")
        );
        assert_eq!(parsed.clusters.first().unwrap().name, cluster);
    }
}

#[test]
fn a_kubeconfig_in_another_layout_is_left_alone() {
    let wanted = kubeconfig("alpha");
    let as_json: serde_json::Value = serde_yaml::from_str(&wanted.render()).unwrap();
    assert!(wanted.is_said_by(&as_json.to_string()));

    let moved = Kubeconfig {
        server: "https://10.0.0.2:6443".to_owned(),
        ..wanted.clone()
    };
    assert!(!moved.is_said_by(&wanted.render()));
    assert!(!wanted.is_said_by("not: a: kubeconfig"));
}

#[test]
fn a_kubeconfig_states_the_server_name_when_the_address_is_not_in_the_certificate() {
    let local = Kubeconfig {
        server_name: Some("kubernetes.default.svc"),
        ..kubeconfig("kubernetes")
    };
    let parsed = kube::config::Kubeconfig::from_yaml(&local.render()).unwrap();
    let cluster = parsed.clusters.first().unwrap().cluster.as_ref().unwrap();
    assert_eq!(
        cluster.tls_server_name.as_deref(),
        Some("kubernetes.default.svc")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rotation_never_leaves_a_gap(issued in 0_i64..2000, looked in 0_i64..2500) {
        let authority = Authority::create(authority::CLUSTER, day(0)).unwrap();
        let request = Request::client(Leaf::Scheduler);
        let leaf = authority.issue(&request, day(issued)).unwrap();
        let expired = not_after(leaf.certificate()).unwrap();
        match judge(Some(&leaf), &request, &authority, day(looked)) {
            Verdict::Keep { renew_at } => {
                prop_assert!(renew_at > day(looked), "a kept leaf is due later");
                prop_assert!(renew_at < expired, "and before it expires");
            }
            Verdict::Renew(reason) => prop_assert_eq!(reason, Reason::Due),
        }
    }
}
