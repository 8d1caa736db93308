//! Agents prove themselves: by the certificate of their connection, or by a token that the tenant's service-account key
//! or a token review confirms.
//!
//! In: the `authorization` values of one agent, and what it says it reaches. Out: a [`Pass`], or the reference's error
//! text. With the key, a token is judged here and now, whatever state kube-apiserver is in; a review is then only a
//! second opinion, and its refusal ends the stream ([`opinion`]).
//!
//! ```text
//!  key given?  no ─► review ──────────────────────► admitted or refused
//!              yes ─► keys ─► refused at once
//!                          └► admitted ─► review, in the background ─► refused: the stream ends
//! ```

mod judge;
mod keys;
mod opinion;
mod reviews;
#[cfg(test)]
mod tests;

use crate::protocol::metadata::{BEARER, Identifiers};
use crate::protocol::token::Rule;
use crate::server::metrics::Metrics;
use crate::server::settings::tokens::Binding;

pub(crate) use keys::{KeyFile, KeyFileError};
pub(crate) use opinion::Pass;
pub(crate) use reviews::{Reviewer, desk};

use opinion::{Denied, Opinion};

/// Why an agent is refused; the texts are the reference's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// No token came.
    #[error("Authentication context was not found in metadata")]
    Missing,
    /// More than one came.
    #[error("too many ({0}) tokens are received")]
    TooMany(usize),
    /// Something else came.
    #[error("received token does not have {BEARER:?} prefix")]
    NotBearer,
    /// The token was refused, or could not be reviewed.
    #[error("Failed to validate authentication token, err:{0}")]
    Invalid(String),
    /// The agent claims a node that its token is not bound to.
    #[error(
        "agent identifier host={host:?} is not {node:?}, the node that the agent's token is bound to"
    )]
    OtherNode {
        /// What it claims.
        host: String,
        /// Where it is.
        node: String,
    },
    /// The server was told nothing that could tell an agent from a stranger.
    #[error(
        "this server lets no agent in: start it with --cluster-ca-cert, with --agent-namespace, \
         --agent-service-account and --authentication-audience, or with --allow-unauthenticated-agents"
    )]
    Impossible,
}

/// How agents prove themselves.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// The TLS handshake decided, or everybody is let in.
    Handshake,
    /// Nobody can prove anything, and nobody is let in.
    Impossible,
    /// The API server decides.
    Review(Reviewer, Binding),
    /// The service-account key decides.
    Key(Checker, Binding),
}

impl Proof {
    /// Admits or refuses an agent by the `authorization` values it sent and the identifiers it claims.
    pub(crate) async fn check(
        &self,
        authorization: &[String],
        identifiers: &Identifiers,
    ) -> Result<Pass, AuthError> {
        match self {
            Self::Handshake => Ok(Pass::for_good()),
            Self::Impossible => Err(AuthError::Impossible),
            Self::Review(reviewer, binding) => {
                let answer = reviewer.review(bearer(authorization)?).await;
                let answer = answer.map_err(|no| AuthError::Invalid(no.to_string()))?;
                bind(*binding, answer.node.as_deref(), identifiers)?;
                Ok(Pass::for_good())
            }
            Self::Key(checker, binding) => {
                let (node, pass) = checker.check(bearer(authorization)?)?;
                bind(*binding, node.as_deref(), identifiers)?;
                Ok(pass)
            }
        }
    }
}

fn bearer(values: &[String]) -> Result<&str, AuthError> {
    match values {
        [] => Err(AuthError::Missing),
        [value] => value
            .strip_prefix(BEARER)
            .map(str::trim_end)
            .ok_or(AuthError::NotBearer),
        more => Err(AuthError::TooMany(more.len())),
    }
}

/// An agent whose token names a node may not claim to be another. Addresses stand in no token and are believed.
fn bind(binding: Binding, node: Option<&str>, identifiers: &Identifiers) -> Result<(), AuthError> {
    let (Binding::Node, Some(node)) = (binding, node) else {
        return Ok(());
    };
    match identifiers.host.iter().find(|host| *host != node) {
        None => Ok(()),
        Some(host) => Err(AuthError::OtherNode {
            host: host.clone(),
            node: node.to_owned(),
        }),
    }
}

/// Judges tokens by the key, and has the accepted ones reviewed if somebody reviews.
#[derive(Clone, Debug)]
pub(crate) struct Checker {
    keys: KeyFile,
    rule: Rule,
    reviewer: Option<Reviewer>,
    denied: Denied,
    metrics: Metrics,
}

impl Checker {
    /// By the keys of a file; with a reviewer, for a second opinion.
    pub(crate) fn new(
        keys: KeyFile,
        rule: Rule,
        reviewer: Option<Reviewer>,
        metrics: Metrics,
    ) -> Self {
        Self {
            keys,
            rule,
            reviewer,
            denied: Denied::default(),
            metrics,
        }
    }

    /// The node the token is bound to, and what its holder gets.
    fn check(&self, token: &str) -> Result<(Option<String>, Pass), AuthError> {
        let judged = self.keys.verify(token, &self.rule, unix_now());
        let known = judged.map_err(|error| format!("token {error}"));
        let allowed = known.and_then(|identity| match self.denied.reason(token) {
            None => Ok(identity),
            Some(reason) => Err(reason),
        });
        let result = if allowed.is_ok() {
            "accepted"
        } else {
            "rejected"
        };
        self.metrics.checked(result);
        let identity = allowed.map_err(AuthError::Invalid)?;
        let opinion = self.reviewer.as_ref().map(|reviewer| Opinion {
            reviewer: reviewer.clone(),
            denied: self.denied.clone(),
            token: token.to_owned(),
            expires: identity.expires,
        });
        Ok((identity.node, Pass::while_good(opinion)))
    }
}

/// Seconds since 1970: where the time of day comes in.
fn unix_now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}
