//! The certificates of one tenant control plane.
//!
//! ```text
//!  cluster authority "kubernetes"               front-proxy authority "front-proxy-ca"
//!   ├─ kube-apiserver          server            └─ front-proxy-client         client
//!   ├─ kubelet client          client
//!   ├─ admin, super-admin      client           service-account pair (RSA, no certificate)
//!   ├─ controller-manager      client
//!   ├─ scheduler               client           authority of the DataStore
//!   └─ konnectivity-server     client + server   └─ the tenant's user          client
//!
//!                                                authority "konnectivity-peers"
//!                                                 └─ konnectivity-server's peer client + server
//! ```
//!
//! In come PEM texts and the present time; out come PEM texts and verdicts. Nothing here reads a clock, a file or the
//! network. Randomness enters in [`generate`] and [`password`] alone. What exists is read in every form kubeadm and Kamaji
//! write (PKCS#8, PKCS#1, SEC1; RSA or EC); what is new is EC P-256 in PKCS#8.

pub mod authority;
pub mod kubeconfig;
pub mod leaf;
pub mod rotation;

use std::fmt;

use jiff::Timestamp;
use rcgen::PublicKeyData as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use authority::Authority;
pub use leaf::{Leaf, Request};
pub use rotation::{Health, Reason, Verdict, health};

/// Certificates are dated a little into the past, so that a node whose clock is behind accepts them.
const CLOCK_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// What can be wrong with a certificate or a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither PEM nor a certificate.
    #[error("certificate cannot be read: {what}")]
    Certificate {
        /// What the parser found.
        what: String,
    },
    /// Not a private key of a kind we can use.
    #[error(
        "private key cannot be read: it must be an unencrypted PEM key (PKCS#8, PKCS#1 or SEC1)"
    )]
    Key(#[source] rcgen::Error),
    /// Certificate and key are not a pair.
    #[error("the private key does not belong to the certificate `{subject}`")]
    Mismatch {
        /// Whose certificate it is.
        subject: String,
    },
    /// A certificate that may not sign others.
    #[error("the certificate `{subject}` is not an authority: it lacks the CA basic constraint")]
    NotAnAuthority {
        /// Whose certificate it is.
        subject: String,
    },
    /// A name that no certificate can carry.
    #[error("`{name}` cannot be stated in a certificate")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// Making a key or a signature failed.
    #[error("cannot make a key or signature")]
    Crypto(#[source] rcgen::Error),
}

/// A certificate and its private key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    certificate: String,
    key: String,
}

impl KeyPair {
    /// Takes both parts as they stand; whether they fit is judged by who uses them.
    pub fn new(certificate: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
        }
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key, PEM. Only for Secrets.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("certificate", &self.certificate)
            .field("key", &"redacted")
            .finish()
    }
}

/// Which kind of key to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// For authorities and leaves.
    EcP256,
    /// For service accounts: Kamaji and some OIDC federations read no other.
    Rsa2048,
}

/// Makes a key: the only place where randomness enters. RSA takes long enough to belong on a blocking thread.
pub fn generate(algorithm: Algorithm) -> Result<rcgen::KeyPair, Error> {
    match algorithm {
        Algorithm::EcP256 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        Algorithm::Rsa2048 => {
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        }
    }
    .map_err(Error::Crypto)
}

/// Makes a password, in the form Kamaji has them.
pub fn password() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The key pair that signs (`sa.key`) and verifies (`sa.pub`) service-account tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountKeys {
    public: String,
    private: String,
}

impl ServiceAccountKeys {
    /// Makes a new pair.
    pub fn create() -> Result<Self, Error> {
        let key = generate(Algorithm::Rsa2048)?;
        Ok(Self {
            public: key.public_key_pem(),
            private: key.serialize_pem(),
        })
    }

    /// Takes an existing private key, and its public half when it is there and fits.
    ///
    /// A missing public half is derived; a foreign one is replaced, for tokens are verified by it.
    pub fn read(private: &str, public: Option<&str>) -> Result<Self, Error> {
        let key = rcgen::KeyPair::from_pem(private).map_err(Error::Key)?;
        let kept = public.filter(|pem| {
            rcgen::SubjectPublicKeyInfo::from_pem(pem)
                .is_ok_and(|info| info.der_bytes() == key.der_bytes())
        });
        Ok(Self {
            public: kept.map_or_else(|| key.public_key_pem(), str::to_owned),
            private: private.to_owned(),
        })
    }

    /// `sa.pub`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// `sa.key`. Only for Secrets.
    pub fn private(&self) -> &str {
        &self.private
    }
}

impl fmt::Debug for ServiceAccountKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountKeys")
            .field("public", &self.public)
            .field("private", &"redacted")
            .finish()
    }
}

/// Hands the first certificate of a PEM text to `read`.
fn with_certificate<T>(
    pem: &str,
    read: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Result<T, Error> {
    let unreadable = |what: String| Error::Certificate { what };
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|cause| unreadable(cause.to_string()))?;
    let (_, certificate) = X509Certificate::from_der(&block.contents)
        .map_err(|cause| unreadable(cause.to_string()))?;
    Ok(read(&certificate))
}

/// Whose certificate it is.
pub fn common_name(pem: &str) -> Option<String> {
    with_certificate(pem, |certificate| {
        let mut names = certificate.subject().iter_common_name();
        names
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned)
    })
    .ok()
    .flatten()
}

/// When a certificate ends.
pub fn not_after(pem: &str) -> Result<Timestamp, Error> {
    with_certificate(pem, |certificate| {
        timestamp(certificate.validity().not_after)
    })
}

fn timestamp(time: x509_parser::time::ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

fn offset_date_time(timestamp: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(timestamp.as_second())
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

fn holds_key_of(certificate: &X509Certificate<'_>, key: &rcgen::KeyPair) -> bool {
    *certificate.public_key().subject_public_key.data == *key.der_bytes()
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
