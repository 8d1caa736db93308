//! A Kubernetes service-account token, judged without asking anybody: signature first, then what it says.
//!
//! In: the token as it came, the keys that may have signed it, what it must say, and the time. Out: whose it is, or the
//! one reason why not. This is what kube-apiserver does itself before it looks whether pod and account still exist
//! (`pkg/serviceaccount/claims.go`), with its leeway; that last look is left to a review. Nothing of the claims is read
//! before the signature holds. There is no clock here: `now` is in seconds since 1970.

mod claims;
mod keys;
#[cfg(test)]
pub(crate) mod mint;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

pub use keys::{Keys, KeysError, SCHEMES};

use claims::{Claims, Header};

/// Bytes that a token may have; those of Kubernetes have one or two thousand.
pub const LONGEST: usize = 16 * 1024;
/// Seconds by which clocks may differ; kube-apiserver grants as many.
pub const LEEWAY: u64 = 60;

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who may have issued it; empty means whoever holds the key.
    pub issuers: Vec<String>,
    /// What it must be made for.
    pub audience: String,
    /// Namespace of the service account.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The pod it is bound to.
    pub pod: Option<String>,
    /// The node that pod runs on; kube-apiserver writes it from 1.30 on.
    pub node: Option<String>,
    /// Seconds since 1970 at which it ends.
    pub expires: u64,
}

/// Why a token is refused; each text goes on after the word "token".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nobody writes such tokens.
    #[error("has {0} bytes; at most {LONGEST} are read")]
    TooLong(usize),
    /// It is something else.
    #[error("is no JWT: not three parts with dots between them")]
    Shape,
    /// A part is no base64url or no JSON of the right shape.
    #[error("has an unreadable {part}: {reason}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A signature that no key of ours makes, such as none at all.
    #[error("is signed by {0:?}; known are {known}", known = known_schemes())]
    Scheme(String),
    /// It may only be accepted by those who know an extension.
    #[error("demands extensions (crit) that are not known here")]
    Critical,
    /// Changed, or signed by a stranger.
    #[error("is signed by none of the service-account keys")]
    Signature,
    /// Of another cluster.
    #[error("was issued by {found:?}. Expected {expected:?}")]
    Issuer {
        /// Who issued it.
        found: String,
        /// Who may.
        expected: Vec<String>,
    },
    /// Made to be shown to somebody else.
    #[error("is made for audiences {found:?}. Expected {expected:?}")]
    Audience {
        /// For whom it is made.
        found: Vec<String>,
        /// Who we are.
        expected: String,
    },
    /// Over.
    #[error("expired {0} s ago")]
    Expired(u64),
    /// Its time has not come.
    #[error("becomes valid in {0} s")]
    Early(u64),
    /// Of another namespace; the text is the reference's.
    #[error("makes an incoming request from {found:?} namespace. Expected {expected:?}")]
    Namespace {
        /// Which.
        found: String,
        /// Which it should be.
        expected: String,
    },
    /// Of another service account; the text is the reference's.
    #[error("makes an incoming request from {found:?} service account. Expected {expected:?}")]
    Account {
        /// Which.
        found: String,
        /// Which it should be.
        expected: String,
    },
    /// Subject and claim differ, which kube-apiserver never writes.
    #[error("contradicts itself: its subject is {subject:?}, its kubernetes.io claim {claim:?}")]
    Subject {
        /// `sub`.
        subject: String,
        /// The same, made of `kubernetes.io`.
        claim: String,
    },
}

/// Judges a token. Costs one signature check, and nothing that a stranger can make larger.
///
/// # Errors
/// The first reason to refuse it.
pub fn verify(token: &str, keys: &Keys, rule: &Rule, now: u64) -> Result<Identity, TokenError> {
    let (signed, signature) = token_parts(token)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenError::Shape)?;
    let header: Header = json("header", &decoded("header", header)?)?;
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let signature = decoded("signature", signature)?;
    keys.verify(&header.alg, header.kid.as_deref(), signed, &signature)?;
    judge(&decoded("payload", payload)?, rule, now)
}

/// Judges what a token says, once its signature holds: JSON claims against the rule and the time.
///
/// # Errors
/// The first reason to refuse it.
pub fn judge(claims: &[u8], rule: &Rule, now: u64) -> Result<Identity, TokenError> {
    let claims: Claims = json("payload", claims)?;
    if !rule.issuers.is_empty() && !rule.issuers.contains(&claims.iss) {
        return Err(TokenError::Issuer {
            found: claims.iss,
            expected: rule.issuers.clone(),
        });
    }
    let audiences = claims.aud.into_list();
    if !audiences.contains(&rule.audience) {
        return Err(TokenError::Audience {
            found: audiences,
            expected: rule.audience.clone(),
        });
    }
    if now > claims.exp.saturating_add(LEEWAY) {
        return Err(TokenError::Expired(now.saturating_sub(claims.exp)));
    }
    if let Some(begin) = claims
        .nbf
        .filter(|begin| now.saturating_add(LEEWAY) < *begin)
    {
        return Err(TokenError::Early(begin.saturating_sub(now)));
    }
    let bound = claims.kubernetes;
    if bound.namespace != rule.namespace {
        return Err(TokenError::Namespace {
            found: bound.namespace,
            expected: rule.namespace.clone(),
        });
    }
    if bound.serviceaccount.name != rule.service_account {
        return Err(TokenError::Account {
            found: bound.serviceaccount.name,
            expected: rule.service_account.clone(),
        });
    }
    let claim = format!(
        "system:serviceaccount:{}:{}",
        rule.namespace, rule.service_account
    );
    if claims.sub != claim {
        return Err(TokenError::Subject {
            subject: claims.sub,
            claim,
        });
    }
    Ok(Identity {
        pod: bound.pod.map(|pod| pod.name),
        node: bound.node.map(|node| node.name),
        expires: claims.exp,
    })
}

/// When a token ends, in seconds since 1970, believed without a look at its signature: for tokens that somebody else
/// has accepted.
pub fn expiry(token: &str) -> Option<u64> {
    let (signed, _) = token_parts(token).ok()?;
    let (_, payload) = signed.split_once('.')?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let ends: claims::Ends = serde_json::from_slice(&payload).ok()?;
    Some(ends.exp)
}

/// What is signed, and the signature.
fn token_parts(token: &str) -> Result<(&str, &str), TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::TooLong(token.len()));
    }
    if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
        return Err(TokenError::Shape);
    }
    token.rsplit_once('.').ok_or(TokenError::Shape)
}

fn decoded(part: &'static str, text: &str) -> Result<Vec<u8>, TokenError> {
    let decoded = URL_SAFE_NO_PAD.decode(text);
    decoded.map_err(|error| TokenError::Part {
        part,
        reason: error.to_string(),
    })
}

fn json<T: DeserializeOwned>(part: &'static str, bytes: &[u8]) -> Result<T, TokenError> {
    let unreadable = |reason| TokenError::Part { part, reason };
    // serde would take a list of the same values as well.
    if bytes.first() != Some(&b'{') {
        return Err(unreadable("it is no JSON object".to_owned()));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))
}

fn known_schemes() -> String {
    SCHEMES.map(|(name, _)| name).join(", ")
}
