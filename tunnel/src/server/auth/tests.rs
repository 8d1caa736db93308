//! Who is let in, by which proof, and who must go again. The API server is a fake one that counts.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::reviews::tests::accepting;
use super::*;
use crate::drain;
use crate::metrics::Registry;
use crate::protocol::token::mint::{AUDIENCE, ISSUER, Signer, claims};
use crate::server::args::Args;
use crate::server::background::Background;
use crate::server::fake_api::{FakeApi, failure};
use crate::server::settings::Settings;
use crate::server::settings::tokens::TokenRule;

pub(super) fn rule() -> TokenRule {
    TokenRule {
        namespace: "kube-system".to_owned(),
        service_account: "konnectivity-agent".to_owned(),
        audience: AUDIENCE.to_owned(),
        key: None,
        binding: Binding::None,
    }
}

/// A server's proof with everything that it stands on.
struct Door {
    proof: Proof,
    signer: Signer,
    registry: Registry,
    _background: Background,
    _files: tempfile::TempDir,
}

impl Door {
    /// As the program would make it of these flags; `KEY` stands for the path of the key.
    fn open(api: &FakeApi, flags: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let signer = Signer::new("ES256");
        let path = |name: &str| files.path().join(name).display().to_string();
        for (name, text) in [("sa.pub", signer.public_pem()), ("tls", String::new())] {
            std::fs::write(path(name), text).expect("written");
        }
        let kubeconfig = api.kubeconfig().display().to_string();
        let fixed = [
            "konnectivity-server".to_owned(),
            "--uds-name=/run/a.socket".to_owned(),
            "--server-port=0".to_owned(),
            format!("--cluster-cert={}", path("tls")),
            format!("--cluster-key={}", path("tls")),
            format!("--kubeconfig={kubeconfig}"),
        ];
        let flags = flags
            .iter()
            .map(|flag| flag.replace("KEY", &path("sa.pub")));
        let args = crate::flags::parse::<Args>(fixed.into_iter().chain(flags));
        let settings = Settings::try_from(args.expect("known flags").args).expect("legal flags");
        let rule = settings.agents.token.as_ref();
        let key = rule.and_then(|rule| rule.key.as_ref());
        let keys = key.map(|key| KeyFile::open(&key.file).expect("a key"));
        let registry = Registry::new("test_");
        let (_, watcher) = drain::channel();
        let mut background = Background::new(Handle::current(), watcher, Metrics::new(&registry));
        Self {
            proof: background.proof(&settings, keys),
            signer,
            registry,
            _background: background,
            _files: files,
        }
    }

    async fn check(&self, token: &str) -> Result<Pass, String> {
        self.check_claiming(token, "").await
    }

    async fn check_claiming(&self, token: &str, identifiers: &str) -> Result<Pass, String> {
        let identifiers = Identifiers::parse(identifiers).expect("legal");
        let authorization = [format!("{BEARER}{token}\n")];
        let checked = self.proof.check(&authorization, &identifiers).await;
        checked.map_err(|error| error.to_string())
    }

    /// A good token of one of many agents.
    fn token(&self, number: usize) -> String {
        let mut claims = claims(unix_now());
        claims["jti"] = json!(number.to_string());
        self.signer.sign(&claims)
    }

    fn counts(&self, line: &str) {
        let page = self.registry.page();
        assert!(
            page.contains(&format!("test_{line}\n")),
            "{line} not in {page}"
        );
    }
}

const TOKENS: [&str; 3] = [
    "--agent-namespace=kube-system",
    "--agent-service-account=konnectivity-agent",
    "--authentication-audience=system:konnectivity-server",
];
const KEY: &str = "--service-account-public-key-file=KEY";

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    TOKENS.into_iter().chain(more.iter().copied()).collect()
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

#[tokio::test]
async fn without_a_key_the_api_server_decides_and_must_be_there() {
    let api = FakeApi::start(accepting).await;
    let door = Door::open(&api, &TOKENS);
    let pass = door.check("good").await.expect("reviewed");
    assert!(pass.revoked().now_or_never().is_none());
    assert_eq!(
        door.check("stolen").await.expect_err("not the agent's"),
        "Failed to validate authentication token, err:lookup failed: service account jwt not valid"
    );
    assert_eq!(api.asked().len(), 2);
    let broken = FakeApi::start(|_| failure(500, "Broken")).await;
    let refused = Door::open(&broken, &TOKENS).check("good").await;
    let refused = refused.expect_err("fail closed");
    let prefix = "Failed to validate authentication token, err:Failed to authenticate request. err";
    assert!(refused.starts_with(prefix), "{refused}");
}

#[tokio::test]
async fn five_thousand_tokens_need_no_review() {
    let api = FakeApi::start(accepting).await;
    let issuer = format!("--service-account-issuer={ISSUER}");
    let door = Door::open(&api, &with(&[KEY, &issuer]));
    for number in 0..5000 {
        door.check(&door.token(number)).await.expect("a good token");
    }
    assert!(api.asked().is_empty());
    door.counts("token_checks_total{result=\"accepted\"} 5000");
}

#[tokio::test]
async fn with_a_key_a_bad_token_is_refused_at_once_with_the_reason() {
    let api = FakeApi::held(accepting).await;
    let door = Door::open(
        &api,
        &with(&[
            KEY,
            "--service-account-issuer=a,b",
            "--review-accepted-tokens",
        ]),
    );
    let changed = |name: &str, value: Value| {
        let mut claims = claims(unix_now());
        claims["iss"] = json!("b");
        claims[name] = value;
        door.signer.sign(&claims)
    };
    let other = Signer::new("ES256").sign(&claims(unix_now()));
    for (token, reason) in [
        (other, "token is signed by none of the service-account keys"),
        (
            changed("iss", json!("c")),
            "was issued by \"c\". Expected [\"a\", \"b\"]",
        ),
        (
            changed("aud", json!(["api"])),
            "is made for audiences [\"api\"]",
        ),
        (changed("exp", json!(1)), "expired "),
        (changed("sub", json!("x")), "contradicts itself"),
    ] {
        let refused = door.check(&token).now_or_never().expect("at once");
        let refused = refused.expect_err(reason);
        assert!(
            refused.starts_with("Failed to validate authentication token, err:token "),
            "{refused}"
        );
        assert!(refused.contains(reason), "{refused} lacks {reason}");
    }
    let good = door.check(&changed("jti", json!("x"))).now_or_never();
    assert!(good.expect("at once").is_ok());
    assert!(api.asked().is_empty());
    door.counts("token_checks_total{result=\"rejected\"} 5");
}

#[tokio::test]
async fn second_opinions_are_one_for_each_token_and_bounded() {
    let api = FakeApi::held(accepting).await;
    let flags = with(&[
        KEY,
        "--review-accepted-tokens",
        "--token-reviews-in-flight=4",
    ]);
    let door = Door::open(&api, &flags);
    let mut passes = Vec::new();
    for number in 0..200 {
        let token = door.token(number);
        // Two streams of one agent share one review.
        for _ in 0..2 {
            passes.push(door.check(&token).now_or_never().expect("at once"));
        }
    }
    let passes: Vec<Pass> = passes.into_iter().map(|pass| pass.expect("good")).collect();
    let revoked = join_all(passes.iter().map(Pass::revoked));
    let reviewed = async {
        api.is_asked(4).await;
        api.release();
        api.is_asked(200).await;
    };
    tokio::select! {
        _ = revoked => unreachable!("nothing is revoked"),
        () = reviewed => {}
    }
    assert_eq!(api.asked().len(), 200);
    assert_eq!(api.most_open(), 4);
}

#[tokio::test]
async fn a_revoked_token_ends_its_stream_and_stays_out() {
    let revoking = |_: &_| {
        let status = json!({"authenticated": false, "error": "service account has been deleted"});
        (
            201,
            json!({"status": status, "metadata": {}, "spec": {"token": ""}}),
        )
    };
    let api = FakeApi::start(revoking).await;
    let door = Door::open(&api, &with(&[KEY, "--review-accepted-tokens"]));
    let token = door.token(1);
    let pass = door.check(&token).await.expect("the key accepts it");
    let revoked = tokio::time::timeout(Duration::from_secs(20), pass.revoked()).await;
    let reason = "Failed to validate authentication token, err:lookup failed: service account has been deleted";
    assert_eq!(revoked.expect("it is refused").to_string(), reason);
    assert_eq!(door.check(&token).await.expect_err("remembered"), reason);
    assert_eq!(api.asked().len(), 1);
    door.check(&door.token(2)).await.expect("another token");
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_refuses_nobody_and_is_asked_again() {
    let api = FakeApi::start(|_| failure(503, "Broken")).await;
    let door = Door::open(&api, &with(&[KEY, "--review-accepted-tokens"]));
    let pass = door
        .check(&door.token(1))
        .await
        .expect("the key accepts it");
    tokio::select! {
        _ = pass.revoked() => unreachable!("nobody refused it"),
        () = api.is_asked(2) => {}
    }
    door.check(&door.token(1)).await.expect("still");
}

#[tokio::test]
async fn everybody_is_an_agent_as_by_the_reference_unless_the_flag_says_no() {
    let api = FakeApi::start(accepting).await;
    let shut = Door::open(&api, &["--allow-unauthenticated-agents=false"]);
    let refused = shut.check("good").await.expect_err("no proof");
    assert!(
        refused.contains("--allow-unauthenticated-agents"),
        "{refused}"
    );
    let open = Door::open(&api, &[]);
    assert!(open.check("good").await.is_ok());
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn an_agent_claims_only_the_node_of_its_token_when_the_flag_says_so() {
    let with_node = |request: &_| {
        let (code, mut review) = accepting(request);
        let node = json!({"authentication.kubernetes.io/node-name": ["worker-1"]});
        review["status"]["user"]["extra"] = node;
        (code, review)
    };
    let api = FakeApi::start(with_node).await;
    let (own, others) = ("host=worker-1&ipv4=10.0.0.1", "host=worker-1&host=worker-2");
    for flags in [
        with(&[KEY, "--bind-agent-identifiers"]),
        with(&["--bind-agent-identifiers"]),
    ] {
        let door = Door::open(&api, &flags);
        let token = door.token(1);
        assert!(door.check_claiming(&token, own).await.is_ok());
        let refused = door.check_claiming(&token, others).await;
        assert_eq!(
            refused.expect_err("not its node"),
            "agent identifier host=\"worker-2\" is not \"worker-1\", the node that the agent's token is bound to"
        );
    }
    let door = Door::open(&api, &with(&[KEY]));
    assert!(door.check_claiming(&door.token(1), others).await.is_ok());
    let bound = Door::open(&api, &with(&[KEY, "--bind-agent-identifiers"]));
    let mut unbound = claims(unix_now());
    unbound["kubernetes.io"]["node"] = Value::Null;
    let token = bound.signer.sign(&unbound);
    assert!(bound.check_claiming(&token, others).await.is_ok());
}

proptest! {
    #[test]
    fn binding_admits_a_set_of_hosts_only_if_all_are_the_node(
        hosts in proptest::collection::vec("[ab]", 0..4),
    ) {
        let all_own = hosts.iter().all(|host| host == "a");
        let identifiers = Identifiers { host: hosts, ..Identifiers::default() };
        prop_assert_eq!(bind(Binding::Node, Some("a"), &identifiers).is_ok(), all_own);
        prop_assert!(bind(Binding::Node, None, &identifiers).is_ok());
        prop_assert!(bind(Binding::None, Some("a"), &identifiers).is_ok());
    }
}
