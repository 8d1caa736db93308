//! How many Secrets hold good certificates, for the metrics. Pure.
//!
//! In: what a pass issued, or, when it did not come so far, what it found. Out: counts by state and form. A Secret is as
//! good as the worst certificate in it; one that is there and holds none is invalid. Authorities do not count, nor what
//! never expires.

use jiff::Timestamp;

use crate::labels;
use crate::metrics::{Counts, Strategy};
use crate::names::{SecretName, key};
use crate::pki::{self, Health, kubeconfig};
use crate::tenant_control_plane::build::lifecycle;
use crate::tenant_control_plane::{Outcome, Pki};

/// Counts the certificates of one tenant.
pub(super) fn count(outcome: &Outcome, now: Timestamp) -> Counts {
    let issued = outcome.pki.as_ref().filter(|_| outcome.failure.is_none());
    let held = match issued {
        Some(pki) => issued_texts(pki),
        None => found_texts(outcome),
    };
    let mut counts = Counts::new();
    for (name, texts) in held {
        let Some(strategy) = strategy(name) else {
            continue;
        };
        let healths = texts
            .iter()
            .filter_map(|(key, text)| judge(strategy, key, text, now));
        let worst = healths.max().unwrap_or(Health::Invalid);
        *counts.entry((worst, strategy)).or_default() += 1;
    }
    counts
}

type Texts<'a> = Vec<(&'a str, &'a str)>;

fn issued_texts(pki: &Pki) -> Vec<(SecretName, Texts<'_>)> {
    let secrets = pki.secrets.iter();
    secrets
        .map(|(name, secret)| {
            let data = secret.data.iter();
            let texts = data.map(|(key, text)| (*key, text.as_str()));
            (*name, texts.collect())
        })
        .collect()
}

fn found_texts(outcome: &Outcome) -> Vec<(SecretName, Texts<'_>)> {
    let secrets = outcome.observation.observed.secrets.iter();
    secrets
        .map(|(name, secret)| {
            let data = secret.data.iter().flatten();
            let texts = data.filter_map(|(key, bytes)| {
                Some((key.as_str(), std::str::from_utf8(&bytes.0).ok()?))
            });
            (*name, texts.collect())
        })
        .collect()
}

fn strategy(name: SecretName) -> Option<Strategy> {
    match lifecycle(name)? {
        labels::LIFECYCLE_KUBECONFIG => Some(Strategy::Kubeconfig),
        _ => Some(Strategy::X509),
    }
}

/// The state of what stands under one key, unless it is none of the certificates that expire.
fn judge(strategy: Strategy, key: &str, text: &str, now: Timestamp) -> Option<Health> {
    match strategy {
        Strategy::X509 if key.strip_suffix(".crt").is_some() && key != key::CA_CRT => {
            Some(pki::health(text, now))
        }
        Strategy::X509 => None,
        Strategy::Kubeconfig => Some(
            kubeconfig::identity(text)
                .map_or(Health::Invalid, |pair| pki::health(pair.certificate(), now)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;

    use super::*;
    use crate::pki::authority;
    use crate::pki::{Authority, Leaf, Request};

    fn secret(data: &[(&str, &str)]) -> Secret {
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = data.iter();
        Secret {
            data: Some(
                data.map(|(key, text)| ((*key).to_owned(), bytes(text)))
                    .collect(),
            ),
            ..Secret::default()
        }
    }

    #[test]
    fn every_secret_counts_once_as_what_its_worst_certificate_is() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let authority = Authority::create(authority::CLUSTER, start).unwrap();
        let leaf = authority
            .issue(&Request::client(Leaf::KubeletClient), start)
            .unwrap();
        let (ca, good) = (authority.certificate(), leaf.certificate());
        let mut outcome = Outcome::default();
        outcome.observation.observed.secrets = BTreeMap::from([
            (SecretName::ClusterAuthority, secret(&[("ca.crt", ca)])),
            (SecretName::ApiServer, secret(&[("apiserver.crt", good)])),
            (
                SecretName::DataStoreCertificate,
                secret(&[("ca.crt", ca), ("server.crt", "scratched")]),
            ),
            (SecretName::KubeletClient, secret(&[])),
            (
                SecretName::SchedulerKubeconfig,
                secret(&[("scheduler.conf", "none")]),
            ),
        ]);
        let at = |time: &str| count(&outcome, time.parse().unwrap());
        let one = |health, count| {
            Counts::from([
                ((health, Strategy::X509), count),
                ((Health::Invalid, Strategy::Kubeconfig), 1),
            ])
        };
        let mut expected = one(Health::Valid, 1);
        expected.insert((Health::Invalid, Strategy::X509), 2);
        assert_eq!(at("2026-02-01T00:00:00Z"), expected);
        let mut expected = one(Health::Expiring, 1);
        expected.insert((Health::Invalid, Strategy::X509), 2);
        assert_eq!(at("2026-11-01T00:00:00Z"), expected);
        assert_eq!(at("2028-01-01T00:00:00Z"), one(Health::Invalid, 3));
    }
}
