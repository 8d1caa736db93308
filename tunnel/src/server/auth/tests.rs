//! What a token must be, case by case. The desk itself is tested against an API server in `tests/it`.

use k8s_openapi::api::authentication::v1::UserInfo;

use super::*;
use crate::server::fake_api::{Asked, FakeApi, failure};

fn rule() -> TokenRule {
    TokenRule {
        namespace: "kube-system".to_owned(),
        service_account: "konnectivity-agent".to_owned(),
        audience: "system:konnectivity-server".to_owned(),
    }
}

fn status(user: &str) -> TokenReviewStatus {
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(vec!["system:konnectivity-server".to_owned()]),
        user: Some(UserInfo {
            username: Some(user.to_owned()),
            ..UserInfo::default()
        }),
        error: None,
    }
}

#[test]
fn metadata_is_judged_with_the_words_of_the_reference() {
    let refusal = |values: &[&str]| {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        bearer(&values)
            .map(str::to_owned)
            .map_err(|error| error.to_string())
    };
    assert_eq!(refusal(&["Bearer abc\n"]), Ok("abc".to_owned()));
    assert_eq!(
        refusal(&[]),
        Err("Authentication context was not found in metadata".to_owned())
    );
    assert_eq!(
        refusal(&["Bearer a", "Bearer b"]),
        Err("too many (2) tokens are received".to_owned())
    );
    assert_eq!(
        refusal(&["bearer a"]),
        Err("received token does not have \"Bearer \" prefix".to_owned())
    );
}

#[test]
fn token_of_the_agents_account_is_accepted() {
    assert_eq!(
        judge(
            &rule(),
            &status("system:serviceaccount:kube-system:konnectivity-agent")
        ),
        Ok(())
    );
}

#[test]
fn every_other_token_is_refused_with_its_reason() {
    let good = status("system:serviceaccount:kube-system:konnectivity-agent");
    for (status, part) in [
        (
            status("system:serviceaccount:default:konnectivity-agent"),
            "\"default\" namespace",
        ),
        (
            status("system:serviceaccount:kube-system:default"),
            "\"default\" service account",
        ),
        (status("system:node:worker-1"), "unexpected username format"),
        (
            status("a:b:kube-system:konnectivity-agent"),
            "not a service account",
        ),
        (
            TokenReviewStatus {
                authenticated: Some(false),
                ..good.clone()
            },
            "jwt not valid",
        ),
        (
            TokenReviewStatus {
                error: Some("expired".to_owned()),
                ..good.clone()
            },
            "expired",
        ),
        (
            TokenReviewStatus {
                audiences: Some(vec!["api".to_owned()]),
                ..good
            },
            "audience",
        ),
    ] {
        let refused = judge(&rule(), &status).expect_err(part);
        assert!(refused.contains(part), "{refused} lacks {part}");
    }
}

fn desk_for(api: &FakeApi) -> (Reviewer, JoinSet<()>) {
    let metrics = Metrics::new(&crate::metrics::Registry::new("test_"));
    let (reviewer, desk) = desk(rule(), Arc::clone(&api.kube), metrics);
    let mut tasks = JoinSet::new();
    tasks.spawn(desk.run());
    (reviewer, tasks)
}

fn accepting(request: &Asked) -> (u16, serde_json::Value) {
    let mut review = request.body.clone();
    review["status"] = serde_json::json!({
        "authenticated": request.body["spec"]["token"] == "good",
        "audiences": request.body["spec"]["audiences"],
        "user": {"username": "system:serviceaccount:kube-system:konnectivity-agent"},
    });
    (201, review)
}

#[tokio::test]
async fn equal_tokens_share_one_review() {
    let api = FakeApi::start(accepting).await;
    let (reviewer, _desk) = desk_for(&api);
    let answers = futures_util::future::join_all((0..50).map(|_| reviewer.review("good"))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(api.asked().len(), 1);
    assert_eq!(
        api.asked()[0].body["spec"]["audiences"][0],
        "system:konnectivity-server"
    );
}

#[tokio::test]
async fn refused_token_is_reviewed_again_the_next_time() {
    let api = FakeApi::start(accepting).await;
    let (reviewer, _desk) = desk_for(&api);
    for _ in 0..2 {
        let refused = reviewer
            .review("stolen")
            .await
            .expect_err("not the agent's");
        assert_eq!(
            refused.to_string(),
            "Failed to validate authentication token, err:lookup failed: service account jwt not valid"
        );
    }
    assert_eq!(api.asked().len(), 2);
}

#[tokio::test]
async fn api_server_that_fails_admits_nobody() {
    for code in [409, 410, 429, 500] {
        let api = FakeApi::start(move |_| failure(code, "Broken")).await;
        let (reviewer, _desk) = desk_for(&api);
        let review = tokio::time::timeout(Duration::from_secs(20), reviewer.review("good"));
        let refused = review
            .await
            .expect("bounded")
            .expect_err("fail closed")
            .to_string();
        assert!(
            refused.starts_with("Failed to validate authentication token, err:"),
            "{refused}"
        );
    }
}
