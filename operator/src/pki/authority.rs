//! Authorities: made once for ten years, or read from what is there and then never replaced.
//!
//! An authority that cannot be read is an error for a person to settle, not a reason to make another one: every node
//! and every kubeconfig of the tenant trusts the old one. That of the tunnel's peers alone is replaced, for nobody
//! trusts it but the pods that are handed the next one.

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
};

use super::{
    Algorithm, CLOCK_SKEW, Error, KeyPair, Request, generate, holds_key_of, offset_date_time,
    with_certificate,
};

const LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// Common name of the cluster authority, as kubeadm has it.
pub const CLUSTER: &str = "kubernetes";
/// Common name of the front-proxy authority, as kubeadm has it.
pub const FRONT_PROXY: &str = "front-proxy-ca";
/// Common name of the authority of one tenant's konnectivity-servers among themselves.
pub const KONNECTIVITY_PEERS: &str = "konnectivity-peers";

/// A certificate that signs others, with its key, known to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    pair: KeyPair,
}

impl Authority {
    /// Makes a new authority.
    pub fn create(common_name: &str, now: Timestamp) -> Result<Self, Error> {
        let key = generate(Algorithm::EcP256)?;
        let mut distinguished_name = DistinguishedName::new();
        distinguished_name.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        params.not_before = offset_date_time(now - CLOCK_SKEW);
        params.not_after = offset_date_time(now + LIFE);
        let certificate = params.self_signed(&key).map_err(Error::Crypto)?;
        Ok(Self {
            pair: KeyPair::new(certificate.pem(), key.serialize_pem()),
        })
    }

    /// Takes an existing pair after proving that it can sign.
    pub fn read(pair: KeyPair) -> Result<Self, Error> {
        let key = rcgen::KeyPair::from_pem(pair.key()).map_err(Error::Key)?;
        with_certificate(pair.certificate(), |certificate| {
            let subject = certificate.subject().to_string();
            if !certificate.is_ca() {
                return Err(Error::NotAnAuthority { subject });
            }
            if !holds_key_of(certificate, &key) {
                return Err(Error::Mismatch { subject });
            }
            Ok(())
        })??;
        Ok(Self { pair })
    }

    /// Its certificate and key.
    pub fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// Its certificate, PEM: what others trust.
    pub fn certificate(&self) -> &str {
        self.pair.certificate()
    }

    /// Signs a new leaf with a new key.
    pub fn issue(&self, request: &Request, now: Timestamp) -> Result<KeyPair, Error> {
        let signing_key = rcgen::KeyPair::from_pem(self.pair.key()).map_err(Error::Key)?;
        let issuer = Issuer::from_ca_cert_pem(self.pair.certificate(), signing_key)
            .map_err(Error::Crypto)?;
        let key = generate(Algorithm::EcP256)?;
        let certificate = request
            .params(now)?
            .signed_by(&key, &issuer)
            .map_err(Error::Crypto)?;
        Ok(KeyPair::new(certificate.pem(), key.serialize_pem()))
    }
}
