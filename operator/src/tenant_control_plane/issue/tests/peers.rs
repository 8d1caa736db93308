//! The certificates by which konnectivity-servers know each other.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use serde_json::json;

use super::{reasons, settled};
use crate::names::{SecretName, key};
use crate::pki::leaf::San;
use crate::pki::rotation::{self, judge};
use crate::pki::{self, Authority, KeyPair, Leaf, Reason, Request, Verdict};
use crate::tenant_control_plane::Pki;
use crate::tenant_control_plane::fixtures::{
    DOCUMENTED, day, documented_with, issued, manifest, observed,
};
use crate::tenant_control_plane::observed::Observed;

const SECRET: SecretName = SecretName::KonnectivityPeerCertificate;

fn authority(pki: &Pki, secret: SecretName) -> Authority {
    let text = |key| pki.text(secret, key).unwrap();
    Authority::read(KeyPair::new(text(key::CA_CRT), text(key::CA_KEY))).unwrap()
}

fn scratch(observed: &mut Observed, key: &str) {
    let data = &mut observed.secrets.get_mut(&SECRET).unwrap().data;
    let text = ByteString(b"scratched".to_vec());
    data.as_mut().unwrap().insert(key.to_owned(), text);
}

#[test]
fn peers_serve_and_dial_under_an_authority_of_their_own() {
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed(), day(0));
    let leaf = KeyPair::new(
        pki.text(SECRET, key::TLS_CRT).unwrap(),
        pki.text(SECRET, key::TLS_KEY).unwrap(),
    );
    let names = [
        "konnectivity-example-konnectivity-peers",
        "konnectivity-example-konnectivity-peers.tenants",
        "konnectivity-example-konnectivity-peers.tenants.svc",
        "konnectivity-example-konnectivity-peers.tenants.svc.cluster.local",
        "konnectivity-server-peer",
    ];
    let names: BTreeSet<San> = names.iter().map(|name| San::parse(name)).collect();
    assert_eq!(rotation::names(leaf.certificate()), names);
    let wanted = Request::server(Leaf::KonnectivityPeer, names);
    let judged = |by: Authority| judge(Some(&leaf), &wanted, &by, day(1));
    assert!(matches!(
        judged(authority(&pki, SECRET)),
        Verdict::Keep { .. }
    ));
    assert_eq!(
        judged(authority(&pki, SecretName::ClusterAuthority)),
        Verdict::Renew(Reason::ForeignAuthority),
        "what the tenant trusts cannot make a peer"
    );
    let whose = pki::common_name(leaf.certificate());
    assert_eq!(whose.as_deref(), Some("system:konnectivity-server-peer"));
}

#[test]
fn the_authority_of_the_peers_is_replaced_when_it_is_unusable_or_due() {
    let replaced = |observed: &Observed, days, reason| {
        let (_, pki) = issued(&manifest(DOCUMENTED), observed, day(days));
        let mut renewed = reasons(&pki);
        renewed.retain(|(name, _)| *name == SECRET);
        let leaf = (SECRET, Reason::ForeignAuthority);
        assert_eq!(renewed, [(SECRET, reason), leaf]);
        let made = authority(&pki, SECRET);
        assert_ne!(
            Some(made.pair().key()),
            observed.secret_text(SECRET, key::CA_KEY)
        );
    };
    // Two thirds of ten years.
    replaced(&settled(), 2434, Reason::Due);
    for part in [key::CA_CRT, key::CA_KEY] {
        let mut observed = settled();
        scratch(&mut observed, part);
        replaced(&observed, 1, Reason::Unreadable);
    }
}

#[test]
fn a_damaged_certificate_of_the_peers_leaves_their_authority() {
    let mut observed = settled();
    scratch(&mut observed, key::TLS_KEY);
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(1));
    assert_eq!(reasons(&pki), [(SECRET, Reason::Unreadable)]);
    assert_eq!(
        pki.text(SECRET, key::CA_CRT),
        observed.secret_text(SECRET, key::CA_CRT)
    );
}

#[test]
fn only_our_servers_have_peers() {
    let other = json!({"image": "example.org/server"});
    for konnectivity in [json!(null), json!({"server": other})] {
        let spec = json!({"addons": {"konnectivity": konnectivity}});
        let (_, pki) = issued(&documented_with(&spec), &observed(), day(0));
        assert!(!pki.secrets.contains_key(&SECRET), "{spec}");
    }
}
