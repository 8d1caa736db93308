//! What others left is kept to the byte where it is good.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::reasons;
use crate::labels;
use crate::names::{SecretName, key};
use crate::pki::fixtures::{kamaji_authority, kamaji_leaf, pkcs1};
use crate::pki::leaf::San;
use crate::pki::{Algorithm, Authority, Leaf, Reason, Request, generate};
use crate::tenant_control_plane::fixtures::{
    DOCUMENTED, day, issued, manifest, observed, validated,
};
use crate::tenant_control_plane::issue;
use crate::tenant_control_plane::observed::Observed;

fn secret(data: &[(&str, &str)]) -> Secret {
    let data = data
        .iter()
        .map(|(key, text)| ((*key).to_owned(), ByteString((*text).into())));
    Secret {
        data: Some(data.collect()),
        ..Secret::default()
    }
}

/// The Secrets of a tenant as Kamaji leaves them: RSA in PKCS#1, some of it more privileged than ours.
fn kamaji(observed: &mut Observed) -> Authority {
    let pair = kamaji_authority("kubernetes", day(0));
    let authority = Authority::read(pair.clone()).unwrap();
    let keys = generate(Algorithm::Rsa2048).unwrap();
    let master = |leaf| {
        let request = Request {
            organization: Some("system:masters"),
            ..Request::client(leaf)
        };
        kamaji_leaf(&authority, &request, day(0))
    };
    let (kubelet, tunnel) = (master(Leaf::KubeletClient), master(Leaf::Konnectivity));
    let (public, private) = (keys.public_key_pem(), pkcs1(&keys));
    put(
        observed,
        SecretName::ClusterAuthority,
        [(key::CA_CRT, pair.certificate()), (key::CA_KEY, pair.key())],
    );
    put(
        observed,
        SecretName::ServiceAccount,
        [(key::SA_PUB, &public), (key::SA_KEY, &private)],
    );
    put(
        observed,
        SecretName::KubeletClient,
        [
            (key::KUBELET_CLIENT_CRT, kubelet.certificate()),
            (key::KUBELET_CLIENT_KEY, kubelet.key()),
        ],
    );
    put(
        observed,
        SecretName::KonnectivityCertificate,
        [
            (key::TLS_CRT, tunnel.certificate()),
            (key::TLS_KEY, tunnel.key()),
        ],
    );
    put(
        observed,
        SecretName::DataStoreConfig,
        [(key::DB_SCHEMA, "tenants_old"), (key::DB_PASSWORD, "kept")],
    );
    authority
}

fn put(observed: &mut Observed, name: SecretName, data: [(&str, &str); 2]) {
    let mut secret = secret(&data);
    let checksum = BTreeMap::from([(labels::CHECKSUM.to_owned(), "kamajis-own".to_owned())]);
    secret.metadata.annotations = Some(checksum);
    observed.secrets.insert(name, secret);
}

#[test]
fn what_kamaji_leaves_is_kept() {
    let mut observed = observed();
    let authority = kamaji(&mut observed);
    let (control_plane, pki) = issued(&manifest(DOCUMENTED), &observed, day(100));

    assert_eq!(control_plane.tenancy.schema, "tenants_old");
    for (name, key) in [
        (SecretName::ClusterAuthority, key::CA_CRT),
        (SecretName::ClusterAuthority, key::CA_KEY),
        (SecretName::ServiceAccount, key::SA_PUB),
        (SecretName::ServiceAccount, key::SA_KEY),
        (SecretName::KubeletClient, key::KUBELET_CLIENT_CRT),
        (SecretName::DataStoreConfig, key::DB_PASSWORD),
    ] {
        assert_eq!(
            pki.text(name, key),
            observed.secret_text(name, key),
            "{name:?} {key}"
        );
    }
    let provider = pki.text(SecretName::ClusterAuthority, key::TLS_CRT);
    assert_eq!(
        provider,
        Some(authority.certificate()),
        "the provider's spelling is added"
    );
    let kubelet_client = &pki.secrets[&SecretName::KubeletClient];
    assert_eq!(
        kubelet_client.checksum, "kamajis-own",
        "unchanged data keeps its checksum"
    );
}

/// Kamaji's certificate of kube-apiserver states the load balancer's address and not the Service's own.
#[test]
fn a_serving_certificate_without_the_services_own_address_is_kept_and_a_new_one_states_it() {
    let mut observed = observed();
    let authority = kamaji(&mut observed);
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(100));
    let made = pki
        .text(SecretName::ApiServer, key::API_SERVER_CRT)
        .unwrap();
    let mut names = crate::pki::rotation::names(made);
    assert!(names.remove(&San::parse("10.200.0.7")), "{names:?}");

    let served = kamaji_leaf(&authority, &Request::server(Leaf::ApiServer, names), day(0));
    put(
        &mut observed,
        SecretName::ApiServer,
        [
            (key::API_SERVER_CRT, served.certificate()),
            (key::API_SERVER_KEY, served.key()),
        ],
    );
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(100));
    let kept = pki.text(SecretName::ApiServer, key::API_SERVER_KEY);
    assert_eq!(kept, Some(served.key()));
}

#[test]
fn kamajis_tunnel_certificate_is_replaced_for_it_can_neither_serve_nor_is_it_harmless() {
    let mut observed = observed();
    kamaji(&mut observed);
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(100));
    let renewed = reasons(&pki);
    let tunnel = renewed
        .iter()
        .find(|(name, _)| *name == SecretName::KonnectivityCertificate);
    assert!(
        matches!(tunnel, Some((_, Reason::NamesMissing(_)))),
        "{tunnel:?}"
    );
}

#[test]
fn a_broken_authority_is_told_and_not_replaced() {
    let mut observed = observed();
    observed.secrets.insert(
        SecretName::ClusterAuthority,
        secret(&[(key::CA_CRT, "nonsense")]),
    );
    let control_plane = validated(&manifest(DOCUMENTED), &observed);
    let refused = issue(&control_plane, &observed, day(0))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("konnectivity-example-ca") && refused.contains("backup"),
        "{refused}"
    );
}

#[test]
fn the_provider_may_bring_the_authority_in_its_own_spelling() {
    let mut observed = observed();
    let brought = kamaji_authority("kubernetes", day(0));
    let data = [
        (key::TLS_CRT, brought.certificate()),
        (key::TLS_KEY, brought.key()),
    ];
    observed
        .secrets
        .insert(SecretName::ClusterAuthority, secret(&data));
    let (_, pki) = issued(&manifest(DOCUMENTED), &observed, day(0));
    assert_eq!(
        pki.text(SecretName::ClusterAuthority, key::CA_KEY),
        Some(brought.key())
    );
}
