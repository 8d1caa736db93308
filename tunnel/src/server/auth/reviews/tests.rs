//! The desk against an API server: what is shared, what is kept, what is bounded.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::*;
use crate::protocol::token::mint::{Signer, claims};
use crate::server::auth::tests::rule;
use crate::server::fake_api::{Asked, FakeApi, failure};

fn desk_for(api: &FakeApi, limits: ReviewLimits) -> (Reviewer, JoinSet<()>) {
    let metrics = Metrics::new(&crate::metrics::Registry::new("test_"));
    let (reviewer, desk) = desk(rule(), limits, Arc::clone(&api.kube), metrics);
    let mut tasks = JoinSet::new();
    tasks.spawn(desk.run());
    (reviewer, tasks)
}

const LIMITS: ReviewLimits = ReviewLimits {
    in_flight: 3,
    fresh: Duration::from_mins(1),
};

/// Accepts every token but the stolen one.
pub(in crate::server::auth) fn accepting(request: &Asked) -> (u16, Value) {
    let mut review = request.body.clone();
    review["status"] = json!({
        "authenticated": request.body["spec"]["token"] != "stolen",
        "audiences": request.body["spec"]["audiences"],
        "user": {"username": "system:serviceaccount:kube-system:konnectivity-agent"},
    });
    (201, review)
}

#[tokio::test]
async fn equal_tokens_share_one_review() {
    let api = FakeApi::held(accepting).await;
    let (reviewer, _desk) = desk_for(&api, LIMITS);
    let asking = join_all((0..50).map(|_| reviewer.review("good")));
    let (answers, ()) = tokio::join!(asking, async {
        api.is_asked(1).await;
        api.release();
    });
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(reviewer.review("good").await, Ok(Reviewed::default()));
    assert_eq!(api.asked().len(), 1);
    assert_eq!(
        api.asked()[0].body["spec"]["audiences"][0],
        "system:konnectivity-server"
    );
}

#[tokio::test]
async fn no_more_reviews_are_open_than_the_flag_allows() {
    let api = FakeApi::held(accepting).await;
    let (reviewer, _desk) = desk_for(&api, LIMITS);
    let tokens: Vec<String> = (0..50).map(|number| format!("good-{number}")).collect();
    let asking = join_all(tokens.iter().map(|token| reviewer.review(token)));
    let (answers, ()) = tokio::join!(asking, async {
        api.is_asked(3).await;
        api.release();
    });
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(api.asked().len(), 50);
    assert_eq!(api.most_open(), 3);
}

#[tokio::test]
async fn refused_token_is_reviewed_again_the_next_time() {
    let api = FakeApi::start(accepting).await;
    let (reviewer, _desk) = desk_for(&api, LIMITS);
    for _ in 0..2 {
        let refused = reviewer.review("stolen").await;
        let reason = "service account jwt not valid".to_owned();
        assert_eq!(refused, Err(Refusal::Denied(reason)));
    }
    assert_eq!(api.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_is_not_kept_longer_than_its_token_or_the_flag() {
    let now = super::super::unix_now();
    let signer = Signer::new("ES256");
    // Valid for an hour; over, though the API server still grants its leeway.
    for (token, fresh, asked) in [
        (signer.sign(&claims(now)), Duration::from_mins(1), 1),
        (signer.sign(&claims(now)), Duration::ZERO, 2),
        (signer.sign(&claims(now - 3600)), Duration::from_mins(1), 2),
    ] {
        let api = FakeApi::start(accepting).await;
        let limits = ReviewLimits { fresh, ..LIMITS };
        let (reviewer, _desk) = desk_for(&api, limits);
        for _ in 0..2 {
            assert!(reviewer.review(&token).await.is_ok());
        }
        assert_eq!(api.asked().len(), asked, "{fresh:?}");
    }
}

#[tokio::test]
async fn nobody_is_reviewed_who_has_left() {
    let api = FakeApi::held(accepting).await;
    let limits = ReviewLimits {
        in_flight: 1,
        ..LIMITS
    };
    let (reviewer, _desk) = desk_for(&api, limits);
    let first = reviewer.review("first");
    tokio::pin!(first);
    tokio::select! {
        _ = &mut first => unreachable!("it is held back"),
        () = api.is_asked(1) => {}
    }
    let (answer, left) = oneshot::channel();
    let token = "left".to_owned();
    let request = Request { token, answer };
    reviewer.0.send(request).await.expect("the desk is open");
    drop(left);
    api.release();
    assert!(first.await.is_ok());
    assert!(reviewer.review("last").await.is_ok());
    assert_eq!(api.asked().len(), 2);
}

#[tokio::test]
async fn an_api_server_that_fails_says_nothing_about_a_token() {
    for code in [409, 410, 429, 500] {
        let api = FakeApi::start(move |_| failure(code, "Broken")).await;
        let (reviewer, _desk) = desk_for(&api, LIMITS);
        let review = tokio::time::timeout(Duration::from_secs(20), reviewer.review("good"));
        let refused = review.await.expect("bounded");
        assert!(
            matches!(refused, Err(Refusal::Unanswered(_))),
            "{refused:?}"
        );
    }
}
