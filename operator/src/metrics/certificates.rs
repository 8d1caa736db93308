//! How many Secrets of a tenant hold certificates that are good, by Kamaji's words. In: counts. Out: their lines.

use std::collections::BTreeMap;

use prometheus::GaugeVec;

use super::gauges;
use crate::pki::Health;

/// In which form a Secret holds certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// As they are.
    X509,
    /// Inside kubeconfigs.
    Kubeconfig,
}

impl Strategy {
    const ALL: [Self; 2] = [Self::X509, Self::Kubeconfig];

    const fn as_str(self) -> &'static str {
        match self {
            Self::X509 => "x509",
            Self::Kubeconfig => "kubeconfig",
        }
    }
}

/// Numbers of Secrets. What is not in it is none.
pub type Counts = BTreeMap<(Health, Strategy), u32>;

/// The series.
#[derive(Debug)]
pub(super) struct Certificates(GaugeVec);

impl Certificates {
    pub(super) fn new() -> Self {
        Self(gauges(
            "kamaji_certificates_current",
            "Secrets with certificates that expire, by state and form.",
            &["tcp_namespace", "tcp_name", "status", "strategy"],
        ))
    }

    pub(super) const fn vector(&self) -> &GaugeVec {
        &self.0
    }

    pub(super) fn replace(&self, namespace: &str, name: &str, counts: &Counts) {
        for (health, strategy) in combinations() {
            let count = counts.get(&(health, strategy)).copied().unwrap_or_default();
            self.0
                .with_label_values(&[namespace, name, health.as_str(), strategy.as_str()])
                .set(f64::from(count));
        }
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        for (health, strategy) in combinations() {
            let labels = [namespace, name, health.as_str(), strategy.as_str()];
            // An error says that there is no such line, which is what is wanted.
            let _absent = self.0.remove_label_values(&labels);
        }
    }
}

fn combinations() -> impl Iterator<Item = (Health, Strategy)> {
    let all = Health::ALL.into_iter();
    all.flat_map(|health| Strategy::ALL.map(|strategy| (health, strategy)))
}
