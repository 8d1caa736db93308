//! Token reviews: the API server says whether a token is good.
//!
//! In: tokens. Out: whose they are, or why not. Reviews run on the control runtime, a bounded number at once; equal
//! tokens share one review, and an answer is good for a while but never longer than its token, so a thousand agents
//! that come back at once do not become a thousand requests. Tokens are known by their digest alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::judge::{Reviewed, judge};
use crate::kube_client::{KubeClient, KubeError};
use crate::protocol::token;
use crate::server::metrics::Metrics;
use crate::server::settings::tokens::{ReviewLimits, TokenRule};

/// Streams that may wait for a review to start.
const WAITING: usize = 1024;
/// Answers that are kept; beyond them a token is reviewed again.
const KEPT: usize = 16 * 1024;
/// What the API server gets to answer.
const REVIEW: Duration = Duration::from_secs(10);

/// Why a token did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The API server refuses it.
    #[error("lookup failed: {0}")]
    Denied(String),
    /// The API server says nothing about it.
    #[error("Failed to authenticate request. err: {0}")]
    Unanswered(String),
}

/// A token's digest: what may be kept of it.
pub(super) type Digest = [u8; 32];

/// What a token is known by.
pub(super) fn digest_of(token: &str) -> Digest {
    let mut digested = Digest::default();
    for (to, from) in digested
        .iter_mut()
        .zip(digest(&SHA256, token.as_bytes()).as_ref())
    {
        *to = *from;
    }
    digested
}

/// Asks for reviews.
#[derive(Clone, Debug)]
pub(crate) struct Reviewer(mpsc::Sender<Request>);

type Verdict = Result<Reviewed, Refusal>;

#[derive(Debug)]
struct Request {
    token: String,
    answer: oneshot::Sender<Verdict>,
}

impl Reviewer {
    pub(super) async fn review(&self, token: &str) -> Verdict {
        let (answer, answered) = oneshot::channel();
        let gone = || Refusal::Unanswered("the server is shutting down".to_owned());
        let request = Request {
            token: token.to_owned(),
            answer,
        };
        self.0.send(request).await.map_err(|_closed| gone())?;
        answered.await.unwrap_or_else(|_dropped| Err(gone()))
    }
}

/// The desk that reviews tokens and the handle to it; run the desk on the control runtime.
pub(crate) fn desk(
    rule: TokenRule,
    limits: ReviewLimits,
    kube: Arc<KubeClient>,
    metrics: Metrics,
) -> (Reviewer, Desk) {
    let (sender, requests) = mpsc::channel(WAITING);
    let desk = Desk {
        requests,
        rule: Arc::new(rule),
        limits,
        kube,
        metrics,
        waiting: HashMap::new(),
        accepted: HashMap::new(),
    };
    (Reviewer(sender), desk)
}

/// One owner of everything that is known about tokens.
#[derive(Debug)]
pub(crate) struct Desk {
    requests: mpsc::Receiver<Request>,
    rule: Arc<TokenRule>,
    limits: ReviewLimits,
    kube: Arc<KubeClient>,
    metrics: Metrics,
    waiting: HashMap<Digest, Vec<oneshot::Sender<Verdict>>>,
    accepted: HashMap<Digest, (Reviewed, Instant)>,
}

/// A review that is over.
struct Done {
    digest: Digest,
    verdict: Verdict,
    /// How long the answer is good.
    fresh: Duration,
}

impl Desk {
    /// Reviews until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut reviews = JoinSet::new();
        loop {
            tokio::select! {
                request = self.requests.recv(), if reviews.len() < self.limits.in_flight => match request {
                    Some(request) => self.take(request, &mut reviews),
                    None => return,
                },
                Some(done) = reviews.join_next() => self.finish(done),
            }
        }
    }

    fn take(&mut self, request: Request, reviews: &mut JoinSet<Done>) {
        if request.answer.is_closed() {
            return;
        }
        let digest = digest_of(&request.token);
        if let Some((reviewed, until)) = self.accepted.get(&digest) {
            if *until > Instant::now() {
                self.metrics.reviewed("cached");
                // A stream that is gone does not need its answer.
                let _gone = request.answer.send(Ok(reviewed.clone()));
                return;
            }
            self.accepted.remove(&digest);
        }
        let waiting = self.waiting.entry(digest).or_default();
        waiting.push(request.answer);
        if waiting.len() == 1 {
            let (kube, rule) = (Arc::clone(&self.kube), Arc::clone(&self.rule));
            let most = self.limits.fresh;
            reviews.spawn(async move {
                let reviewed = tokio::time::timeout(REVIEW, review(&kube, &rule, &request.token));
                let answer = reviewed
                    .await
                    .unwrap_or_else(|_elapsed| Err(ReviewError::Silent));
                Done {
                    digest,
                    verdict: answer
                        .map_err(|error| Refusal::Unanswered(error.chain()))
                        .and_then(|status| judge(&rule, &status).map_err(Refusal::Denied)),
                    fresh: most.min(left(&request.token)),
                }
            });
        }
    }

    fn finish(&mut self, done: Result<Done, JoinError>) {
        let Ok(done) = done else {
            tracing::error!("a token review panicked");
            // Whoever waited for it is told by the closed channel at the next sweep.
            return self.waiting.clear();
        };
        match &done.verdict {
            Ok(_) => self.metrics.reviewed("accepted"),
            Err(Refusal::Denied(_)) => self.metrics.reviewed("rejected"),
            Err(Refusal::Unanswered(reason)) => {
                self.metrics.reviewed("unanswered");
                tracing::warn!(reason, "a token could not be reviewed");
            }
        }
        for answer in self.waiting.remove(&done.digest).unwrap_or_default() {
            let _gone = answer.send(done.verdict.clone());
        }
        if let Ok(reviewed) = done.verdict {
            self.keep(done.digest, reviewed, done.fresh);
        }
    }

    fn keep(&mut self, digest: Digest, reviewed: Reviewed, fresh: Duration) {
        let now = Instant::now();
        if self.accepted.len() >= KEPT {
            self.accepted.retain(|_, (_, until)| *until > now);
        }
        let until = now.checked_add(fresh);
        if let Some(until) = until.filter(|_| self.accepted.len() < KEPT) {
            self.accepted.insert(digest, (reviewed, until));
        }
    }
}

/// How long a token still lives by its own word; a token that says nothing sets no limit.
fn left(token: &str) -> Duration {
    token::expiry(token).map_or(Duration::MAX, |end| {
        Duration::from_secs(end.saturating_sub(super::unix_now()))
    })
}

#[derive(Debug, thiserror::Error)]
enum ReviewError {
    #[error(transparent)]
    Client(KubeError),
    #[error(transparent)]
    Api(kube::Error),
    #[error("no answer within {REVIEW:?}")]
    Silent,
}

impl ReviewError {
    /// The text and its causes on one line: it goes to the agent as one status message.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

async fn review(
    kube: &KubeClient,
    rule: &TokenRule,
    token: &str,
) -> Result<TokenReviewStatus, ReviewError> {
    let client = kube.client().await.map_err(ReviewError::Client)?;
    let request = TokenReview {
        metadata: ObjectMeta::default(),
        spec: TokenReviewSpec {
            token: token.to_owned(),
            audiences: Some(vec![rule.audience.clone()]),
        },
        status: None,
    };
    let answered = Api::<TokenReview>::all(client)
        .create(&PostParams::default(), &request)
        .await;
    Ok(answered
        .map_err(ReviewError::Api)?
        .status
        .unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests;
