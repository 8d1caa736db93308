//! Every scheme, every refusal, and that no other text is ever accepted.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::mint::{AUDIENCE, ISSUER, Signer, claims};
use super::*;

const NOW: u64 = 1_800_000_000;

/// One key for all tests that need any.
static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new("ES256"));

fn rule() -> Rule {
    Rule {
        issuers: vec![ISSUER.to_owned()],
        audience: AUDIENCE.to_owned(),
        namespace: "kube-system".to_owned(),
        service_account: "konnectivity-agent".to_owned(),
    }
}

fn keys(signers: &[&Signer]) -> Keys {
    let text: String = signers.iter().map(|signer| signer.public_pem()).collect();
    Keys::from_pem(text.as_bytes()).expect("keys")
}

fn judged(token: &str) -> Result<Identity, TokenError> {
    verify(token, &keys(&[&SIGNER]), &rule(), NOW)
}

/// The claims of an agent with one of them, named by a JSON pointer, changed or taken away.
fn spoilt(pointer: &str, value: Option<Value>) -> Value {
    let mut claims = claims(NOW);
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = claims.pointer_mut(parent).expect("it is there");
    let parent = parent.as_object_mut().expect("an object");
    match value {
        Some(value) => drop(parent.insert(name.to_owned(), value)),
        None => drop(parent.remove(name).expect("it was there")),
    }
    claims
}

#[test]
fn every_scheme_of_kube_apiserver_is_known() {
    for (scheme, _) in SCHEMES {
        let signer = Signer::new(scheme);
        let identity = verify(&signer.sign(&claims(NOW)), &keys(&[&signer]), &rule(), NOW);
        assert_eq!(
            identity,
            Ok(Identity {
                pod: Some("konnectivity-agent-x".to_owned()),
                node: Some("worker-1".to_owned()),
                expires: NOW + 3600,
            }),
            "{scheme}"
        );
    }
}

#[test]
fn what_is_said_must_be_what_is_expected() {
    let other = || Some(json!("other"));
    for (claims, reason) in [
        (spoilt("/iss", other()), "was issued by \"other\""),
        (spoilt("/iss", None), "missing field `iss`"),
        (spoilt("/aud", Some(json!(["api"]))), "audiences [\"api\"]"),
        (spoilt("/aud", Some(json!([]))), "audiences []"),
        (spoilt("/aud", None), "missing field `aud`"),
        (spoilt("/exp", Some(json!(NOW - 61))), "expired 61 s ago"),
        (spoilt("/exp", Some(json!("never"))), "unreadable payload"),
        (spoilt("/exp", None), "missing field `exp`"),
        (spoilt("/nbf", Some(json!(NOW + 61))), "valid in 61 s"),
        (
            spoilt("/kubernetes.io/namespace", other()),
            "from \"other\" namespace. Expected \"kube-system\"",
        ),
        (
            spoilt("/kubernetes.io/serviceaccount/name", other()),
            "from \"other\" service account. Expected \"konnectivity-agent\"",
        ),
        (
            spoilt("/kubernetes.io", None),
            "missing field `kubernetes.io`",
        ),
        (spoilt("/sub", other()), "contradicts itself"),
    ] {
        let refused = judged(&SIGNER.sign(&claims)).expect_err(reason).to_string();
        assert!(refused.contains(reason), "{refused} lacks {reason}");
    }
}

#[test]
fn what_a_token_need_not_say_may_be_missing() {
    let alone = spoilt("/aud", Some(json!(AUDIENCE)));
    assert!(judged(&SIGNER.sign(&alone)).is_ok());
    let unbound = judged(&SIGNER.sign(&spoilt("/kubernetes.io/node", None)));
    assert_eq!(unbound.expect("before 1.30").node, None);
    let any = Rule {
        issuers: Vec::new(),
        ..rule()
    };
    let token = SIGNER.sign(&spoilt("/iss", Some(json!("other"))));
    assert!(verify(&token, &keys(&[&SIGNER]), &any, NOW).is_ok());
}

#[test]
fn several_keys_overlap_while_one_is_replaced() {
    let (old, new) = (Signer::new("RS256"), Signer::new("RS256"));
    let both = keys(&[&old, &SIGNER, &new]);
    assert_eq!(both.count(), 3);
    for signer in [&old, &new, &SIGNER] {
        assert!(verify(&signer.sign(&claims(NOW)), &both, &rule(), NOW).is_ok());
    }
    // An id that nobody knows says nothing; one of another key says that it is a lie.
    for (kid, expected) in [
        (json!("of-old"), None),
        (json!(null), None),
        (json!(old.kid()), Some(TokenError::Signature)),
    ] {
        let token = new.sign_under(&json!({"alg": "RS256", "kid": kid}), &claims(NOW));
        let judged = verify(&token, &both, &rule(), NOW);
        assert_eq!(judged.err(), expected, "{kid}");
    }
    let replaced = keys(&[&new]);
    let refused = verify(&old.sign(&claims(NOW)), &replaced, &rule(), NOW);
    assert_eq!(refused, Err(TokenError::Signature));
}

#[test]
fn a_key_checks_only_schemes_of_its_kind() {
    let rsa = Signer::new("RS256");
    for (scheme, expected) in [
        ("none", TokenError::Scheme("none".to_owned())),
        ("HS256", TokenError::Scheme("HS256".to_owned())),
        ("PS256", TokenError::Scheme("PS256".to_owned())),
        ("ES256", TokenError::Signature),
        ("RS384", TokenError::Signature),
    ] {
        let token = rsa.sign_under(&json!({"alg": scheme}), &claims(NOW));
        let refused = verify(&token, &keys(&[&rsa]), &rule(), NOW);
        assert_eq!(refused, Err(expected), "{scheme}");
    }
    let crit = json!({"alg": "RS256", "crit": ["b64"], "b64": false});
    let refused = verify(
        &rsa.sign_under(&crit, &claims(NOW)),
        &keys(&[&rsa]),
        &rule(),
        NOW,
    );
    assert_eq!(refused, Err(TokenError::Critical));
}

#[test]
fn what_is_no_token_is_refused_as_such() {
    let token = SIGNER.sign(&claims(NOW));
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    for (text, part) in [
        (String::new(), "no JWT"),
        ("a.b".to_owned(), "no JWT"),
        (format!("{token}.x"), "no JWT"),
        (".".repeat(LONGEST + 1), "at most 16384"),
        (format!("{signed}."), "none of the service-account keys"),
        (format!("{token}="), "unreadable signature"),
        ("e30.e30.e30".to_owned(), "missing field `alg`"),
        ("!.e30.e30".to_owned(), "unreadable header"),
    ] {
        let refused = judged(&text).expect_err(part).to_string();
        assert!(refused.contains(part), "{refused} lacks {part}");
    }
}

#[test]
fn a_list_of_the_right_values_is_refused() {
    let bound = json!(["kube-system", ["konnectivity-agent"], null, null]);
    let account = "system:serviceaccount:kube-system:konnectivity-agent";
    let list = json!([ISSUER, account, AUDIENCE, NOW, null, bound]);
    let refused = judge(list.to_string().as_bytes(), &rule(), NOW).expect_err("a list");
    assert!(refused.to_string().contains("no JSON object"), "{refused}");
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let twice = claims(NOW).to_string().replacen('{', "{\"exp\":1,", 1);
    let refused = judge(twice.as_bytes(), &rule(), NOW).expect_err("twice");
    assert!(refused.to_string().contains("duplicate field"), "{refused}");
}

#[test]
fn the_end_of_a_token_is_readable_without_a_key() {
    assert_eq!(expiry(&SIGNER.sign(&claims(NOW))), Some(NOW + 3600));
    assert_eq!(expiry("good"), None);
    assert_eq!(expiry("a.b.c"), None);
}

#[test]
fn texts_without_usable_keys_say_why() {
    let refusal = |text: &str| Keys::from_pem(text.as_bytes()).expect_err(text).to_string();
    assert!(refusal("").contains("no PUBLIC KEY block"));
    assert!(refusal("-----BEGIN PUBLIC KEY-----\n!\n").contains("no PEM"));
    let nonsense = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let second = format!("{}{nonsense}", SIGNER.public_pem());
    assert!(refusal(&second).contains("block 2 is neither RSA"));
}

proptest! {
    #[test]
    fn a_token_lives_exactly_from_its_begin_to_its_end(at in NOW - 5000..NOW + 5000) {
        let token = SIGNER.sign(&claims(NOW));
        let judged = verify(&token, &keys(&[&SIGNER]), &rule(), at);
        prop_assert_eq!(judged.is_ok(), (NOW - LEEWAY..=NOW + 3600 + LEEWAY).contains(&at));
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused(
        at in any::<prop::sample::Index>(), other in "[A-Za-z0-9_.=-]",
    ) {
        let token = SIGNER.sign(&claims(NOW));
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &other);
        prop_assert_eq!(judged(&changed).is_ok(), changed == token);
    }

    #[test]
    fn no_text_is_accepted_by_chance(text in "[a-zA-Z0-9_.{}\":-]{0,200}") {
        prop_assert!(judged(&text).is_err());
        prop_assert!(judge(text.as_bytes(), &rule(), NOW).is_err());
    }
}
