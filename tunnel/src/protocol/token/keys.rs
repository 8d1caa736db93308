//! Public keys that may have signed a token.
//!
//! In: a PEM text with one `PUBLIC KEY` block or several, as `sa.pub` is. Out: whether one of them signed these bytes.
//! While a key is replaced both stand in the text. A key only ever checks schemes of its own kind, whatever the token
//! says of itself, so that an RSA key is never taken for a secret or a curve.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem};

use super::TokenError;

/// Names of RFC 7518 and what they mean; those that kube-apiserver signs with.
pub static SCHEMES: [(&str, &dyn VerificationAlgorithm); 6] = [
    ("RS256", &RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &RSA_PKCS1_2048_8192_SHA384),
    ("RS512", &RSA_PKCS1_2048_8192_SHA512),
    ("ES256", &ECDSA_P256_SHA256_FIXED),
    ("ES384", &ECDSA_P384_SHA384_FIXED),
    ("ES512", &ECDSA_P521_SHA512_FIXED),
];

/// A text that holds no usable keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No PEM.
    #[error("no PEM text")]
    Pem(#[source] pem::Error),
    /// PEM without what is needed.
    #[error("no PUBLIC KEY block in it; give the sa.pub of the tenant")]
    None,
    /// A key of a kind that signs no tokens.
    #[error("PUBLIC KEY block {0} is neither RSA nor ECDSA over P-256, P-384 or P-521")]
    Kind(usize),
}

/// Keys, any of which may have signed.
#[derive(Clone, Debug)]
pub struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    /// As kube-apiserver makes it: the SHA-256 of the key's DER in base64url.
    id: String,
    schemes: Vec<(&'static str, ParsedPublicKey)>,
}

impl Keys {
    /// Reads every `PUBLIC KEY` block of a PEM text; other blocks are passed over.
    ///
    /// # Errors
    /// [`KeysError`]; one bad block spoils the text, as a half-written file would.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for block in SubjectPublicKeyInfoDer::pem_slice_iter(text) {
            let der = block.map_err(KeysError::Pem)?;
            keys.push(Key::from_der(&der).ok_or(KeysError::Kind(keys.len() + 1))?);
        }
        if keys.is_empty() {
            return Err(KeysError::None);
        }
        Ok(Self(keys))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether one of them signed; the one whose id is `kid` alone if it is here, else each that fits the scheme.
    pub(super) fn verify(
        &self,
        scheme: &str,
        kid: Option<&str>,
        signed: &str,
        signature: &[u8],
    ) -> Result<(), TokenError> {
        if SCHEMES.iter().all(|(known, _)| *known != scheme) {
            return Err(TokenError::Scheme(scheme.to_owned()));
        }
        let named = self.0.iter().find(|key| Some(key.id.as_str()) == kid);
        let is_signed = match named {
            Some(key) => key.signed(scheme, signed, signature),
            None => self
                .0
                .iter()
                .any(|key| key.signed(scheme, signed, signature)),
        };
        is_signed.then_some(()).ok_or(TokenError::Signature)
    }
}

impl Key {
    fn from_der(der: &[u8]) -> Option<Self> {
        let schemes: Vec<_> = SCHEMES
            .iter()
            .filter_map(|(name, scheme)| Some((*name, ParsedPublicKey::new(*scheme, der).ok()?)))
            .collect();
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, der));
        (!schemes.is_empty()).then_some(Self { id, schemes })
    }

    fn signed(&self, scheme: &str, signed: &str, signature: &[u8]) -> bool {
        let fitting = self.schemes.iter().find(|(name, _)| *name == scheme);
        fitting.is_some_and(|(_, key)| key.verify_sig(signed.as_bytes(), signature).is_ok())
    }
}
