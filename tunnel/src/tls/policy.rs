//! `--cipher-suites` and `--tls-min-version`, in Go's words, as what rustls can do of them.

use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedProtocolVersion};

static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];

/// Which cipher suites and versions a server talks. The default is all that rustls has.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Go's names of TLS 1.2 suites; empty: all. TLS 1.3 always keeps its own, as in Go.
    suites: Vec<String>,
    is_tls13_only: bool,
}

impl Policy {
    /// From the flags' values, which have been checked to be names that Go knows.
    ///
    /// What rustls does not have (CBC suites, TLS 1.0 and 1.1) is left out with a warning.
    pub fn from_flags(cipher_suites: &[String], min_version: &str) -> Self {
        if matches!(min_version, "VersionTLS10" | "VersionTLS11") {
            tracing::warn!(
                "--tls-min-version={min_version}: served from TLS 1.2 on, older versions are not safe"
            );
        }
        let known = crate::tls::provider().cipher_suites;
        let (suites, unknown): (Vec<_>, Vec<_>) = cipher_suites
            .iter()
            .map(|name| canonical(name))
            .partition(|name| known.iter().any(|suite| suite_name(suite) == *name));
        if !unknown.is_empty() {
            tracing::warn!(
                "--cipher-suites: {} not offered, they are not safe",
                unknown.join(", ")
            );
        }
        Self {
            suites,
            is_tls13_only: min_version == "VersionTLS13",
        }
    }

    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        if self.is_tls13_only {
            &ONLY_13
        } else {
            &FROM_12
        }
    }

    pub(super) fn restrict(&self, mut provider: CryptoProvider) -> CryptoProvider {
        if !self.suites.is_empty() {
            provider.cipher_suites.retain(|suite| {
                suite.version().version == ProtocolVersion::TLSv1_3
                    || self.suites.contains(&suite_name(suite))
            });
        }
        provider
    }
}

fn suite_name(suite: &rustls::SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite())
}

/// Go still takes two names from before RFC 7905 was final.
fn canonical(name: &str) -> String {
    match name.strip_suffix("_CHACHA20_POLY1305") {
        Some(_) => format!("{name}_SHA256"),
        None => name.to_owned(),
    }
}
