//! What is kept, what is renewed, and what is refused.

mod adoption;
mod peers;

use std::collections::BTreeMap;

use serde_json::json;

use crate::labels;
use crate::names::{SecretName, key};
use crate::pki::Reason;
use crate::pki::kubeconfig::identity;
use crate::tenant_control_plane::control_plane::Stage;
use crate::tenant_control_plane::fixtures::{
    DOCUMENTED, after, built, day, documented_with, issued, manifest, observed, service, validated,
};
use crate::tenant_control_plane::observed::Observed;
use crate::tenant_control_plane::{Pki, issue};

/// What is there after the first pass.
fn settled() -> Observed {
    let fresh = observed();
    after(&fresh, &built(&manifest(DOCUMENTED), &fresh))
}

fn annotate(observed: &mut Observed, secret: SecretName, value: &str) {
    let annotations = BTreeMap::from([(labels::ROTATE.to_owned(), value.to_owned())]);
    let metadata = &mut observed.secrets.get_mut(&secret).unwrap().metadata;
    metadata
        .annotations
        .get_or_insert_default()
        .extend(annotations);
}

fn reasons(pki: &Pki) -> Vec<(SecretName, Reason)> {
    pki.renewals()
        .map(|(name, renewal)| (name, renewal.reason.clone()))
        .collect()
}

fn holder(text: &str) -> String {
    crate::pki::common_name(identity(text).unwrap().certificate()).unwrap()
}

#[test]
fn nothing_is_issued_before_the_endpoint_is_known() {
    let mut control_plane = validated(&manifest(DOCUMENTED), &observed());
    control_plane.stage = Stage::Exposing;
    assert!(
        issue(&control_plane, &observed(), day(0))
            .unwrap()
            .is_none()
    );
}

#[test]
fn every_secret_of_the_contract_has_its_keys() {
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed(), day(0));
    let keys: Vec<_> = pki
        .secrets
        .iter()
        .map(|(name, secret)| {
            format!(
                "{}: {}",
                name.suffix(),
                secret.data.keys().copied().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    insta::assert_snapshot!(keys.join("\n"));
}

#[test]
fn a_second_pass_changes_nothing() {
    let observed = settled();
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(30));
    assert_eq!(reasons(&pki), []);
    for (name, issued) in &pki.secrets {
        for (key, text) in &issued.data {
            assert_eq!(
                observed.secret_text(*name, key),
                Some(text.as_str()),
                "{name:?} {key}"
            );
        }
        assert_eq!(
            observed.secret_annotation(*name, labels::CHECKSUM),
            Some(issued.checksum.as_str())
        );
    }
    assert!(
        pki.look_again > day(240) && pki.look_again < day(245),
        "{}",
        pki.look_again
    );
}

#[test]
fn leaves_are_renewed_at_two_thirds_of_their_life_and_authorities_stay() {
    let observed = settled();
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(250));
    let renewed = reasons(&pki);
    assert_eq!(renewed.len(), 10, "{renewed:?}");
    assert!(renewed.iter().all(|(_, reason)| *reason == Reason::Due));
    for (name, key) in [
        (SecretName::ClusterAuthority, key::CA_KEY),
        (SecretName::FrontProxyAuthority, key::FRONT_PROXY_CA_KEY),
        (SecretName::ServiceAccount, key::SA_KEY),
        (SecretName::DataStoreConfig, key::DB_PASSWORD),
        (SecretName::KonnectivityPeerCertificate, key::CA_KEY),
    ] {
        assert_eq!(
            pki.text(name, key),
            observed.secret_text(name, key),
            "{name:?}"
        );
    }
}

#[test]
fn the_rotate_annotation_renews_all_of_its_secret_and_is_answered() {
    let mut observed = settled();
    annotate(&mut observed, SecretName::AdminKubeconfig, "");
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(10));
    let expected = [
        (SecretName::AdminKubeconfig, Reason::Asked),
        (SecretName::AdminKubeconfig, Reason::Asked),
    ];
    assert_eq!(
        reasons(&pki),
        expected,
        "administrator and break-glass administrator"
    );
    let answer = pki.secrets[&SecretName::AdminKubeconfig]
        .rotated
        .clone()
        .unwrap();
    assert_eq!(answer, "2026-01-11T00:00:00Z");

    annotate(&mut observed, SecretName::AdminKubeconfig, &answer);
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(10));
    assert_eq!(reasons(&pki), [], "an answered request asks no more");
    assert_eq!(
        pki.secrets[&SecretName::AdminKubeconfig].rotated,
        Some(answer)
    );
}

#[test]
fn asking_the_tunnels_kubeconfig_renews_the_leaf_it_shares() {
    let mut observed = settled();
    annotate(&mut observed, SecretName::KonnectivityKubeconfig, "");
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(10));
    assert_eq!(
        reasons(&pki),
        [(SecretName::KonnectivityCertificate, Reason::Asked)]
    );
    let kubeconfig = &pki.secrets[&SecretName::KonnectivityKubeconfig];
    assert_eq!(kubeconfig.rotated.as_deref(), Some("2026-01-11T00:00:00Z"));
    let shown = identity(&kubeconfig.data[key::KONNECTIVITY_CONF]).unwrap();
    let certificate = pki.text(SecretName::KonnectivityCertificate, key::TLS_CRT);
    assert_eq!(Some(shown.certificate()), certificate);
}

#[test]
fn a_moved_endpoint_renews_what_serves_there_and_rewrites_kubeconfigs() {
    let mut observed = settled();
    observed.service = Some(service(&json!([{"ip": "192.0.2.99"}])));
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(1));
    let missing = Reason::NamesMissing(vec!["192.0.2.99".to_owned()]);
    let expected = [
        (SecretName::ApiServer, missing.clone()),
        (SecretName::KonnectivityCertificate, missing),
    ];
    assert_eq!(reasons(&pki), expected);

    let admin = |pki: &Pki| {
        pki.text(SecretName::AdminKubeconfig, key::ADMIN_CONF)
            .unwrap()
            .to_owned()
    };
    assert!(admin(&pki).contains("https://192.0.2.99:6443"));
    let before = observed
        .secret_text(SecretName::AdminKubeconfig, key::ADMIN_CONF)
        .unwrap();
    assert_eq!(
        identity(&admin(&pki)),
        identity(before),
        "the identity stays"
    );
}

#[test]
fn kubeconfigs_name_their_holders_and_the_tunnels_the_name_it_checks() {
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed(), day(0));
    let text = |name, key| pki.text(name, key).unwrap();
    let table = [
        (
            SecretName::AdminKubeconfig,
            key::ADMIN_CONF,
            "kubernetes-admin",
            "https://192.0.2.10:6443",
        ),
        (
            SecretName::AdminKubeconfig,
            key::SUPER_ADMIN_SVC,
            "kubernetes-super-admin",
            "https://konnectivity-example.tenants.svc:6443",
        ),
        (
            SecretName::SchedulerKubeconfig,
            key::SCHEDULER_CONF,
            "system:kube-scheduler",
            "https://127.0.0.1:6443",
        ),
        (
            SecretName::KonnectivityKubeconfig,
            key::KONNECTIVITY_CONF,
            "system:konnectivity-server",
            "https://127.0.0.1:6443",
        ),
    ];
    for (name, key, user, server) in table {
        let kubeconfig = text(name, key);
        assert_eq!(holder(kubeconfig), user);
        assert!(
            kubeconfig.contains(&format!("server: \"{server}\"")),
            "{key}: {kubeconfig}"
        );
    }
    let tunnel = text(SecretName::KonnectivityKubeconfig, key::KONNECTIVITY_CONF);
    assert!(
        tunnel.contains("tls-server-name: \"kubernetes.default.svc\""),
        "{tunnel}"
    );
}

#[test]
fn the_tunnel_serves_under_no_name_of_the_tenants_own_network() {
    let spec = json!({"networkProfile": {"certSANs": ["api.example.org"]}});
    let (_, pki) = issued(&documented_with(&spec), &observed(), day(0));
    let names = |name, key| {
        let sans = crate::pki::rotation::names(pki.text(name, key).unwrap());
        sans.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let tunnel = names(SecretName::KonnectivityCertificate, key::TLS_CRT);
    assert!(
        tunnel.contains(&"192.0.2.10".to_owned()) && tunnel.contains(&"api.example.org".to_owned())
    );
    assert!(
        !tunnel
            .iter()
            .any(|name| name.starts_with("kubernetes") || name == "10.96.0.1"),
        "{tunnel:?}"
    );
    insta::assert_snapshot!(names(SecretName::ApiServer, key::API_SERVER_CRT).join("\n"));
}

#[test]
fn without_the_addon_nothing_of_the_tunnel_is_issued() {
    let mut object = manifest(DOCUMENTED);
    object.spec.addons.konnectivity = None;
    let (_, pki) = issued(&object, &observed(), day(0));
    assert!(
        !pki.secrets
            .contains_key(&SecretName::KonnectivityCertificate)
    );
    assert!(
        !pki.secrets
            .contains_key(&SecretName::KonnectivityKubeconfig)
    );
}
