//! Tokens for tests: signed as kube-apiserver signs them, and spoilt at will. The crate's own tests and those over real
//! sockets use this same file.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaSignatureEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Who issues the tokens of [`claims`].
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Whom they are made for.
pub(crate) const AUDIENCE: &str = "system:konnectivity-server";

/// A key that signs by one scheme.
pub(crate) struct Signer {
    scheme: &'static str,
    key: PrivateKey,
}

enum PrivateKey {
    Rsa(RsaKeyPair, &'static RsaSignatureEncoding),
    Ecdsa(EcdsaKeyPair),
}

impl Signer {
    /// A new key for that scheme.
    pub(crate) fn new(scheme: &'static str) -> Self {
        let rsa = |encoding| {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            PrivateKey::Rsa(key, encoding)
        };
        let curve = |algorithm: &'static EcdsaSigningAlgorithm| {
            PrivateKey::Ecdsa(EcdsaKeyPair::generate(algorithm).expect("a key"))
        };
        let key = match scheme {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "RS384" => rsa(&RSA_PKCS1_SHA384),
            "RS512" => rsa(&RSA_PKCS1_SHA512),
            "ES384" => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "ES512" => curve(&ECDSA_P521_SHA512_FIXED_SIGNING),
            _ => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
        };
        Self { scheme, key }
    }

    /// What a tenant's `sa.pub` holds.
    pub(crate) fn public_pem(&self) -> String {
        let text = STANDARD.encode(self.der());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// The key's name, as kube-apiserver makes it.
    pub(crate) fn kid(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.der()))
    }

    fn der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'static> = match &self.key {
            PrivateKey::Rsa(key, _) => key.public_key().as_der().expect("DER"),
            PrivateKey::Ecdsa(key) => key.public_key().as_der().expect("DER"),
        };
        der.as_ref().to_vec()
    }

    /// A token that says this.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_under(&json!({"alg": self.scheme, "kid": self.kid()}), claims)
    }

    /// The same under another header.
    pub(crate) fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match &self.key {
            PrivateKey::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, signed.as_bytes(), &mut signature)
                    .expect("a signature");
                signature
            }
            PrivateKey::Ecdsa(key) => key
                .sign(&random, signed.as_bytes())
                .expect("a signature")
                .as_ref()
                .to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What kube-apiserver writes for the agents' service account, valid for an hour from `now` on.
pub(crate) fn claims(now: u64) -> Value {
    json!({
        "aud": [AUDIENCE],
        "exp": now + 3600,
        "iat": now,
        "iss": ISSUER,
        "jti": "0f2a3b5e-1b7a-4a57-9a3f-0b1c2d3e4f50",
        "kubernetes.io": {
            "namespace": "kube-system",
            "node": {"name": "worker-1", "uid": "a"},
            "pod": {"name": "konnectivity-agent-x", "uid": "b"},
            "serviceaccount": {"name": "konnectivity-agent", "uid": "c"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:kube-system:konnectivity-agent",
    })
}
