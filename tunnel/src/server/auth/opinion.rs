//! The second opinion: what the service-account key accepted, the API server may still know to be revoked.
//!
//! In: an accepted token. Out: a future that resolves when a review refuses it. Nobody waits for it to be let in, and
//! an API server that cannot be asked refuses nobody: it is asked again, slower and slower. A good token is asked about
//! again every [`AGAIN`] until it expires, since its stream may outlive the account. What was refused is remembered for
//! a while, so that the agent that comes back is refused at once.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::reviews::{Digest, Refusal, Reviewer, digest_of};
use super::{AuthError, unix_now};
use crate::backoff::{Backoff, jittered};

/// Between two reviews of a token whose stream stands.
pub(super) const AGAIN: Duration = Duration::from_mins(10);
/// First and longest delay while the API server cannot be asked.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long a refusal is remembered; an API server in trouble may refuse by mistake.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Refusals that are remembered at once.
const MOST: usize = 4096;

/// What an agent that was let in holds.
#[derive(Debug)]
pub(crate) struct Pass(Option<Opinion>);

impl Pass {
    /// Good as long as the stream.
    pub(super) fn for_good() -> Self {
        Self(None)
    }

    /// Good until the opinion turns, if there is one.
    pub(super) fn while_good(opinion: Option<Opinion>) -> Self {
        Self(opinion)
    }

    /// Resolves when the agent must go.
    pub(crate) async fn revoked(&self) -> AuthError {
        match &self.0 {
            None => pending().await,
            Some(opinion) => AuthError::Invalid(opinion.refused().await),
        }
    }
}

/// One accepted token and who is asked about it.
#[derive(Debug)]
pub(super) struct Opinion {
    pub(super) reviewer: Reviewer,
    pub(super) denied: Denied,
    pub(super) token: String,
    /// Seconds since 1970; afterwards there is nothing to ask.
    pub(super) expires: u64,
}

impl Opinion {
    async fn refused(&self) -> String {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        while unix_now() < self.expires {
            match self.reviewer.review(&self.token).await {
                Ok(_) => {
                    backoff.reset();
                    sleep(jittered(AGAIN, rand::random())).await;
                }
                Err(Refusal::Unanswered(_)) => sleep(backoff.next(rand::random())).await,
                // The review began before the end and was answered behind it: the token is over, not revoked.
                Err(Refusal::Denied(_)) if unix_now() >= self.expires => break,
                Err(refusal @ Refusal::Denied(_)) => {
                    let reason = refusal.to_string();
                    self.denied.remember(&self.token, &reason);
                    return reason;
                }
            }
        }
        pending().await
    }
}

/// Tokens that a review refused although the key accepts them.
#[derive(Clone, Debug, Default)]
pub(super) struct Denied(Arc<Mutex<HashMap<Digest, (String, Instant)>>>);

impl Denied {
    /// Why the token was refused a short while ago.
    pub(super) fn reason(&self, token: &str) -> Option<String> {
        let denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.is_empty() {
            return None;
        }
        let (reason, until) = denied.get(&digest_of(token))?;
        (*until > Instant::now()).then(|| reason.clone())
    }

    fn remember(&self, token: &str, reason: &str) {
        let now = Instant::now();
        let mut denied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        denied.retain(|_, (_, until)| *until > now);
        if denied.len() < MOST {
            denied.insert(digest_of(token), (reason.to_owned(), now + REMEMBERED));
        }
    }
}
