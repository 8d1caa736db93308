//! The JSON inside a token, as far as it is looked at (RFC 7519, and `privateClaims` of kube-apiserver).
//! A field that stands there twice is refused, so that nobody reads another one than we do.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// How it is signed.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) crit: Option<IgnoredAny>,
}

/// What it says.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audiences,
    pub(super) exp: u64,
    pub(super) nbf: Option<u64>,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: Bound,
}

/// Only when it ends.
#[derive(Debug, Deserialize)]
pub(super) struct Ends {
    pub(super) exp: u64,
}

/// One audience may stand alone (RFC 7519, 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Audiences {
    pub(super) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(audience) => vec![audience],
            Self::Many(audiences) => audiences,
        }
    }
}

/// What the token is bound to.
#[derive(Debug, Deserialize)]
pub(super) struct Bound {
    pub(super) namespace: String,
    pub(super) serviceaccount: Named,
    pub(super) pod: Option<Named>,
    pub(super) node: Option<Named>,
}

/// An object of the tenant.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}
