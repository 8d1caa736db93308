//! Agents with tokens at a running server: the key decides, its file may change, and the API server has the last word.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tunnel::protocol::native::control::Control;
use tunnel::protocol::native::hello::AgentHello;

use crate::native_support::NativeAgent;
use crate::server_support::{Agent, House};
use crate::token_mint::{ISSUER, Signer, claims};

/// A tenant: its service-account key, and its API server if it has one.
struct Tenant {
    folder: tempfile::TempDir,
    signer: Signer,
}

impl Tenant {
    fn new() -> Self {
        let tenant = Self {
            folder: tempfile::tempdir().expect("a folder"),
            signer: Signer::new("RS256"),
        };
        tenant.write("sa.pub", &tenant.signer.public_pem());
        tenant
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As kubelet does it: another file takes the name.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("next"), text).expect("written");
        std::fs::rename(self.path("next"), self.path(name)).expect("renamed");
    }

    async fn house(&self, more: &[&str]) -> House {
        let key = self.path("sa.pub").display().to_string();
        let flags = [
            "--agent-namespace=kube-system".to_owned(),
            "--agent-service-account=konnectivity-agent".to_owned(),
            "--authentication-audience=system:konnectivity-server".to_owned(),
            format!("--service-account-public-key-file={key}"),
            format!("--service-account-issuer={ISSUER}"),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        House::open("grpc", &[&flags, more].concat()).await
    }
}

fn now() -> u64 {
    let now = jiff::Timestamp::now().as_second();
    now.try_into().expect("after 1970")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn enters(house: &House, token: &str) -> Agent {
    let authorization = bearer(token);
    let headers = [("agentid", "a"), ("authorization", authorization.as_str())];
    house.agent_with(&headers).await.expect("it is let in")
}

async fn refused(house: &House, token: &str) -> String {
    let authorization = bearer(token);
    let headers = [("agentid", "a"), ("authorization", authorization.as_str())];
    house.refusal(&headers).await
}

#[tokio::test]
async fn the_key_lets_agents_in_while_no_api_server_is_there() {
    let tenant = Tenant::new();
    let house = tenant.house(&[]).await;
    let agent = enters(&house, &tenant.signer.sign(&claims(now()))).await;
    assert_eq!(agent.server, "server-1");
    house
        .metric_becomes("ready_backends{proxy_strategy=\"default\"}", 1.0)
        .await;
    let stranger = Signer::new("RS256").sign(&claims(now()));
    assert_eq!(
        refused(&house, &stranger).await,
        "Failed to validate authentication token, err:token is signed by none of the service-account keys"
    );
    let old = tenant.signer.sign(&claims(now() - 4000));
    assert!(refused(&house, &old).await.contains("token expired"));
    assert!((house.metric("token_checks_total{result=\"rejected\"}") - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn a_new_key_is_good_the_moment_its_file_is_there() {
    let tenant = Tenant::new();
    let house = tenant.house(&[]).await;
    let new = Signer::new("ES256");
    let token = new.sign(&claims(now()));
    refused(&house, &token).await;
    let both = format!("{}{}", tenant.signer.public_pem(), new.public_pem());
    tenant.write("sa.pub", &both);
    let _new = enters(&house, &token).await;
    let _old = enters(&house, &tenant.signer.sign(&claims(now()))).await;
}

#[tokio::test]
async fn an_agent_that_claims_another_node_is_refused_when_the_flag_says_so() {
    let tenant = Tenant::new();
    let authorization = bearer(&tenant.signer.sign(&claims(now())));
    let headers = [
        ("agentid", "a"),
        ("agentidentifiers", "host=worker-2"),
        ("authorization", authorization.as_str()),
    ];
    let believing = tenant.house(&[]).await;
    believing.agent_with(&headers).await.expect("believed");
    let binding = tenant.house(&["--bind-agent-identifiers"]).await;
    let refusal = binding.refusal(&headers).await;
    assert!(refusal.contains("host=\"worker-2\""), "{refusal}");
}

/// An API server that reviews tokens, all of them good until they are revoked.
struct Api {
    address: SocketAddr,
    is_revoked: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (is_revoked, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(
            listener,
            Arc::clone(&is_revoked),
            Arc::clone(&asked),
        ));
        Self {
            address,
            is_revoked,
            asked,
            _serving: serving,
        }
    }

    fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.address);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": server}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        });
        text.to_string()
    }
}

async fn accept(listener: TcpListener, is_revoked: Arc<AtomicBool>, asked: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (is_revoked, asked) = (Arc::clone(&is_revoked), Arc::clone(&asked));
        let service = service_fn(move |request: Request<Incoming>| {
            asked.fetch_add(1, Ordering::Relaxed);
            let is_revoked = Arc::clone(&is_revoked);
            async move { Ok::<_, Infallible>(review(request, &is_revoked).await) }
        });
        let builder = hyper::server::conn::http1::Builder::new();
        let served = builder.serve_connection(TokioIo::new(socket), service);
        connections.spawn(async move { drop(served.await) });
    }
}

async fn review(request: Request<Incoming>, is_revoked: &AtomicBool) -> Response<Full<Bytes>> {
    let is_good = !is_revoked.load(Ordering::Relaxed);
    let body = request.into_body().collect().await.expect("a body");
    let mut review: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    let user = "system:serviceaccount:kube-system:konnectivity-agent";
    review["status"] = json!({"authenticated": is_good, "user": {"username": user}});
    let mut response = Response::new(Full::new(Bytes::from(review.to_string())));
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}

#[tokio::test]
async fn a_revoked_token_ends_the_stream_that_the_key_let_in() {
    let (tenant, api) = (Tenant::new(), Api::start().await);
    tenant.write("kubeconfig", &api.kubeconfig());
    let kubeconfig = format!("--kubeconfig={}", tenant.path("kubeconfig").display());
    let house = tenant
        .house(&[&kubeconfig, "--review-accepted-tokens"])
        .await;
    let mut good = enters(&house, &tenant.signer.sign(&claims(now()))).await;
    let accepted = "token_reviews_total{result=\"accepted\"}";
    house.metric_becomes(accepted, 1.0).await;

    api.is_revoked.store(true, Ordering::Relaxed);
    let mut other = claims(now());
    other["jti"] = json!("another");
    let token = tenant.signer.sign(&other);
    let mut revoked = enters(&house, &token).await;
    let reason =
        "Failed to validate authentication token, err:lookup failed: service account jwt not valid";
    let status = revoked.ended().await.expect_err("it is turned out");
    assert_eq!(status.message, reason);
    assert_eq!(refused(&house, &token).await, reason);
    assert_eq!(api.asked.load(Ordering::Relaxed), 2);

    let listed = house.metric("ready_backends{proxy_strategy=\"default\"}");
    assert!((listed - 1.0).abs() < 0.1, "the other agent stays");
    good.data(tunnel::protocol::id::ConnectId(7), "who?").await;
    good.next().await;
}

#[tokio::test]
async fn a_revoked_native_agent_is_told_why_and_chosen_no_more() {
    let (tenant, api) = (Tenant::new(), Api::start().await);
    tenant.write("kubeconfig", &api.kubeconfig());
    api.is_revoked.store(true, Ordering::Relaxed);
    let kubeconfig = format!("--kubeconfig={}", tenant.path("kubeconfig").display());
    let house = tenant
        .house(&[&kubeconfig, "--review-accepted-tokens"])
        .await;
    let hello = AgentHello {
        agent_id: "a".to_owned(),
        authorization: vec![bearer(&tenant.signer.sign(&claims(now())))],
        ..AgentHello::default()
    };
    let mut agent = NativeAgent::knocks(&house, hello).await;
    assert_eq!(agent.hears().await, Some(Control::Admitted));
    let members = agent.hears().await;
    assert!(
        matches!(members, Some(Control::Members { .. })),
        "{members:?}"
    );
    let reason =
        "Failed to validate authentication token, err:lookup failed: service account jwt not valid"
            .to_owned();
    assert_eq!(agent.hears().await, Some(Control::Refused { reason }));
    let listed = house.metric("ready_backends{proxy_strategy=\"default\"}");
    assert!(listed.abs() < 0.1, "it left the list first");
    assert_eq!(agent.hears().await, None);
}

#[tokio::test]
async fn agents_without_any_proof_are_refused_when_the_flag_says_so() {
    let house = House::open("grpc", &["--allow-unauthenticated-agents=false"]).await;
    let refusal = house.refusal(&[("agentid", "a")]).await;
    assert!(
        refusal.contains("--allow-unauthenticated-agents"),
        "{refusal}"
    );
    let house = House::open("grpc", &[]).await;
    house.agent("a").await;
}
