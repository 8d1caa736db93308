//! What the rules of this room promise, shown on real keys and certificates.

use std::collections::BTreeSet;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

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

/// Takes the PKCS#1 key out of its PKCS#8 wrapping: version, algorithm and lengths take 26 bytes for RSA-2048.
fn pkcs1(key: &rcgen::KeyPair) -> String {
    pem("RSA PRIVATE KEY", &key.serialized_der()[26..])
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// An authority as Kamaji leaves it: RSA-2048, PKCS#1.
fn kamaji_authority() -> KeyPair {
    let key = generate(Algorithm::Rsa2048).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["kubernetes".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "kubernetes");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::DigitalSignature,
        rcgen::KeyUsagePurpose::KeyEncipherment,
        rcgen::KeyUsagePurpose::KeyCertSign,
    ];
    params.not_before = offset_date_time(day(0));
    params.not_after = offset_date_time(day(3650));
    KeyPair::new(params.self_signed(&key).unwrap().pem(), pkcs1(&key))
}

#[test]
fn an_rsa_authority_in_pkcs1_is_adopted_and_signs() {
    let pair = kamaji_authority();
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
    let authority = Authority::read(kamaji_authority()).unwrap();
    let request = serving(&["localhost"]);
    let key = generate(Algorithm::Rsa2048).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(
        authority.certificate(),
        rcgen::KeyPair::from_pem(authority.pair().key()).unwrap(),
    )
    .unwrap();
    let certificate = request
        .params(day(0))
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let leaf = KeyPair::new(certificate.pem(), pkcs1(&key));

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

/// The same EC key as SEC1 has it: version, the number, the curve, the point.
fn sec1(key: &rcgen::KeyPair) -> String {
    let number = &key.serialized_der()[36..68];
    let curve = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let point = [&[0xa1, 0x44, 0x03, 0x42, 0x00], key.public_key_raw()].concat();
    let der = [
        &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20],
        number,
        &curve,
        &point,
    ]
    .concat();
    pem("EC PRIVATE KEY", &der)
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

#[test]
fn a_leaf_is_renewed_exactly_when_it_must_be() {
    let (one, other) = (authority(), authority());
    let request = serving(&["localhost", "10.0.0.1"]);
    let leaf = one.issue(&request, day(0)).unwrap();
    let swapped = KeyPair::new(leaf.certificate(), other.pair().key());
    let more = serving(&["localhost", "10.0.0.1", "API.example.org"]);
    let fewer = serving(&["LOCALHOST"]);
    let scheduler = Request::client(Leaf::Scheduler);
    let both = Request {
        usage: leaf::Usage::Both,
        ..request.clone()
    };
    let missing = Reason::NamesMissing(vec!["api.example.org".to_owned()]);

    let table = [
        ("good", Some(&leaf), &request, &one, 1, None),
        ("fewer names wanted", Some(&leaf), &fewer, &one, 1, None),
        (
            "one day before two thirds",
            Some(&leaf),
            &request,
            &one,
            242,
            None,
        ),
        (
            "after two thirds",
            Some(&leaf),
            &request,
            &one,
            244,
            Some(Reason::Due),
        ),
        (
            "expired",
            Some(&leaf),
            &request,
            &one,
            400,
            Some(Reason::Due),
        ),
        ("missing", None, &request, &one, 1, Some(Reason::Missing)),
        (
            "another key",
            Some(&swapped),
            &request,
            &one,
            1,
            Some(Reason::KeyMismatch),
        ),
        (
            "another authority",
            Some(&leaf),
            &request,
            &other,
            1,
            Some(Reason::ForeignAuthority),
        ),
        ("a new name", Some(&leaf), &more, &one, 1, Some(missing)),
        (
            "another subject",
            Some(&leaf),
            &scheduler,
            &one,
            1,
            Some(Reason::OtherSubject),
        ),
        (
            "another usage",
            Some(&leaf),
            &both,
            &one,
            1,
            Some(Reason::UsageMissing),
        ),
    ];
    for (case, leaf, wanted, authority, days, expected) in table {
        let verdict = judge(leaf, wanted, authority, day(days));
        match expected {
            Some(reason) => assert_eq!(verdict, Verdict::Renew(reason), "{case}"),
            None => assert!(
                matches!(verdict, Verdict::Keep { .. }),
                "{case}: {verdict:?}"
            ),
        }
    }
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
