//! Agents prove themselves: by the certificate of their connection, or by a token that a TokenReview confirms.
//! In: the `authorization` values of one `Connect`. Out: admitted, or the reference's error text.
//! Reviews run on the control runtime, at most [`IN_FLIGHT`] at once; equal tokens share one review, and an answer
//! is good for [`FRESH`], so a thousand agents that come back at once do not become a thousand requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::metrics::Metrics;
use super::settings::TokenRule;
use crate::kube_client::{KubeClient, KubeError};

/// Reviews at the same time.
const IN_FLIGHT: usize = 32;
/// Streams that may wait for a review to start.
const WAITING: usize = 1024;
/// How long an accepted token needs no second look.
const FRESH: Duration = Duration::from_secs(10);
/// What the API server gets to answer.
const REVIEW: Duration = Duration::from_secs(10);
/// What stands before the token.
const BEARER: &str = "Bearer ";

/// Why an agent is refused; the texts are the reference's.
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
}

/// How agents prove themselves.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// The TLS handshake decided; without an authority, everybody is an agent.
    Handshake,
    /// A token decides.
    Token(Reviewer),
}

impl Proof {
    /// Admits or refuses an agent by the `authorization` values it sent.
    pub(crate) async fn check(&self, authorization: &[String]) -> Result<(), AuthError> {
        match self {
            Self::Handshake => Ok(()),
            Self::Token(reviewer) => reviewer.review(bearer(authorization)?).await,
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

/// Asks for reviews.
#[derive(Clone, Debug)]
pub(crate) struct Reviewer(mpsc::Sender<Request>);

#[derive(Debug)]
struct Request {
    token: String,
    answer: oneshot::Sender<Result<(), AuthError>>,
}

impl Reviewer {
    async fn review(&self, token: &str) -> Result<(), AuthError> {
        let (answer, answered) = oneshot::channel();
        let gone = || AuthError::Invalid("the server is shutting down".to_owned());
        let request = Request {
            token: token.to_owned(),
            answer,
        };
        self.0.send(request).await.map_err(|_closed| gone())?;
        answered.await.unwrap_or_else(|_dropped| Err(gone()))
    }
}

/// The desk that reviews tokens and the handle to it; run the desk on the control runtime.
pub(crate) fn desk(rule: TokenRule, kube: Arc<KubeClient>, metrics: Metrics) -> (Reviewer, Desk) {
    let (sender, requests) = mpsc::channel(WAITING);
    let desk = Desk {
        requests,
        rule: Arc::new(rule),
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
    kube: Arc<KubeClient>,
    metrics: Metrics,
    waiting: HashMap<String, Vec<oneshot::Sender<Result<(), AuthError>>>>,
    accepted: HashMap<String, Instant>,
}

impl Desk {
    /// Reviews until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut reviews: JoinSet<(String, Result<(), AuthError>)> = JoinSet::new();
        loop {
            tokio::select! {
                request = self.requests.recv(), if reviews.len() < IN_FLIGHT => match request {
                    Some(request) => self.take(request, &mut reviews),
                    None => return,
                },
                Some(done) = reviews.join_next() => self.finish(done),
            }
        }
    }

    fn take(&mut self, request: Request, reviews: &mut JoinSet<(String, Result<(), AuthError>)>) {
        self.accepted.retain(|_, until| *until > Instant::now());
        if self.accepted.contains_key(&request.token) {
            self.metrics.reviewed("cached");
            // A stream that is gone does not need its answer.
            let _gone = request.answer.send(Ok(()));
            return;
        }
        let waiting = self.waiting.entry(request.token.clone()).or_default();
        waiting.push(request.answer);
        if waiting.len() == 1 {
            let (kube, rule) = (Arc::clone(&self.kube), Arc::clone(&self.rule));
            reviews.spawn(async move {
                let reviewed = tokio::time::timeout(REVIEW, review(&kube, &rule, &request.token));
                let result = reviewed
                    .await
                    .unwrap_or_else(|_elapsed| Err(ReviewError::Silent));
                (
                    request.token,
                    result.map_err(|error| AuthError::Invalid(error.chain())),
                )
            });
        }
    }

    fn finish(&mut self, done: Result<(String, Result<(), AuthError>), tokio::task::JoinError>) {
        let Ok((token, result)) = done else {
            tracing::error!("a token review panicked");
            // Whoever waited for it is told by the closed channel at the next sweep.
            return self.waiting.clear();
        };
        match &result {
            Ok(()) => self.metrics.reviewed("accepted"),
            Err(error) => {
                self.metrics.reviewed("rejected");
                tracing::warn!(%error, "an agent's token is refused");
            }
        }
        for answer in self.waiting.remove(&token).unwrap_or_default() {
            let _gone = answer.send(result.clone());
        }
        if result.is_ok() {
            self.accepted.insert(token, Instant::now() + FRESH);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReviewError {
    #[error("Failed to authenticate request. err")]
    Client(#[source] KubeError),
    #[error("Failed to authenticate request. err")]
    Api(#[source] kube::Error),
    #[error("Failed to authenticate request. err: no answer within {REVIEW:?}")]
    Silent,
    #[error("lookup failed: {0}")]
    Lookup(String),
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

async fn review(kube: &KubeClient, rule: &TokenRule, token: &str) -> Result<(), ReviewError> {
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
    let status = answered
        .map_err(ReviewError::Api)?
        .status
        .unwrap_or_default();
    judge(rule, &status).map_err(ReviewError::Lookup)
}

/// Whether a review's answer makes an agent.
fn judge(rule: &TokenRule, status: &TokenReviewStatus) -> Result<(), String> {
    if let Some(error) = status.error.as_ref().filter(|error| !error.is_empty()) {
        return Err(error.clone());
    }
    if status.authenticated != Some(true) {
        return Err("service account jwt not valid".to_owned());
    }
    if status
        .audiences
        .as_ref()
        .is_some_and(|list| !list.is_empty() && !list.contains(&rule.audience))
    {
        return Err(format!(
            "token is not made for audience {:?}",
            rule.audience
        ));
    }
    let user = status
        .user
        .as_ref()
        .and_then(|user| user.username.as_deref())
        .unwrap_or_default();
    let parts: Vec<&str> = user.split(':').collect();
    let [system, kind, namespace, account] = parts.as_slice() else {
        return Err("unexpected username format".to_owned());
    };
    if (*system, *kind) != ("system", "serviceaccount") {
        return Err("username returned is not a service account".to_owned());
    }
    if *namespace != rule.namespace {
        return Err(format!(
            "incoming request from {namespace:?} namespace. Expected {:?}",
            rule.namespace
        ));
    }
    if *account != rule.service_account {
        return Err(format!(
            "incoming request from {account:?} service account. Expected {:?}",
            rule.service_account
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
