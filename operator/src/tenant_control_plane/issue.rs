//! What each Secret of a control plane shall hold: what is good is kept to the byte, what is due is renewed.
//!
//! In come the validated control plane, the Secrets that exist and the time; out comes [`Pki`]. Nothing is issued
//! before the endpoint is known, for its host stands in certificates and kubeconfigs.

mod secret;
mod table;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::names::SecretName;
use crate::pki;

use super::control_plane::{ControlPlane, Stage};
use super::observed::Observed;

pub use secret::{IssuedSecret, Renewal};

/// The contents of every Secret.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The Secrets, in apply order. One that is not wanted now is not among them.
    pub secrets: BTreeMap<SecretName, IssuedSecret>,
    /// When the first leaf is due.
    pub look_again: Timestamp,
}

impl Pki {
    /// The text under `key` of a Secret.
    pub fn text(&self, secret: SecretName, key: &str) -> Option<&str> {
        self.secrets.get(&secret)?.data.get(key).map(String::as_str)
    }

    /// Every renewal of this pass, for Events. Making something for the first time is one too.
    pub fn renewals(&self) -> impl Iterator<Item = (SecretName, &Renewal)> {
        let secrets = self.secrets.iter();
        secrets.flat_map(|(name, secret)| secret.renewals.iter().map(|renewal| (*name, renewal)))
    }
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An authority or the service-account pair exists and cannot be used. It is never replaced: all that trusts it
    /// would have to be renewed by hand.
    #[error(
        "secret `{secret}` cannot be used and is not replaced: restore it from a backup, or delete it to have a new \
         one, after which every node must join again and every kubeconfig be fetched again"
    )]
    Unusable {
        /// Its name.
        secret: String,
        /// What is wrong with it.
        #[source]
        source: pki::Error,
    },
    /// The authority of the store exists and cannot sign.
    #[error(
        "the certificate authority of the DataStore cannot sign: check spec.tlsConfig.certificateAuthority"
    )]
    DataStoreAuthority(#[source] pki::Error),
    /// A leaf could not be made.
    #[error("certificate for secret `{secret}` cannot be issued")]
    Issue {
        /// The Secret it was meant for.
        secret: String,
        /// What went wrong.
        #[source]
        source: pki::Error,
    },
}

/// Issues what the control plane needs; nothing while it has no endpoint.
///
/// Making RSA keys takes a tenth of a second: call it on a blocking thread.
pub fn issue(
    control_plane: &ControlPlane,
    observed: &Observed,
    now: Timestamp,
) -> Result<Option<Pki>, Error> {
    match &control_plane.stage {
        Stage::Exposing => Ok(None),
        Stage::Serving(endpoint) => table::fill(control_plane, endpoint, observed, now).map(Some),
    }
}

#[cfg(test)]
mod tests;
