//! Holds `webhook_server.rs` to what it promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

use super::*;
use crate::pki::leaf::{San, Usage};
use crate::pki::{self, Authority};

async fn ask(address: std::net::SocketAddr, authority: &Authority) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.certificate().as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await?;
    let name = "webhook.warren.svc".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await?;
    stream
        .write_all(b"GET /page HTTP/1.1\r\nhost: webhook\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn issue(authority: &Authority) -> KeyPair {
    let host = "webhook.warren.svc".to_owned();
    let request = pki::Request {
        common_name: host.clone(),
        organization: None,
        usage: Usage::Server,
        sans: [San::Dns(host)].into(),
    };
    authority.issue(&request, Timestamp::now()).unwrap()
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let current = Current::default();
    let pages = Router::new().route("/page", axum::routing::get(async || "hello"));
    let mut server = JoinSet::new();
    server.spawn(serve(listener, current.clone(), pages));

    let (first, second) = ["one", "two"]
        .map(|name| Authority::create(name, Timestamp::now()).unwrap())
        .into();
    assert!(
        ask(address, &first).await.is_err(),
        "nothing is served without a certificate"
    );
    current.set(&issue(&first)).unwrap();
    assert!(ask(address, &first).await.unwrap().ends_with("hello"));
    current.set(&issue(&second)).unwrap();
    assert!(ask(address, &first).await.is_err());
    assert!(ask(address, &second).await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let current = Current::default();
    let authority = Authority::create("one", Timestamp::now()).unwrap();
    current.set(&issue(&authority)).unwrap();
    let pages = Router::new().route("/page", axum::routing::get(async || "hello"));
    let mut server = JoinSet::new();
    server.spawn(serve(listener, current, pages));
    let _silent = TcpStream::connect(address).await.unwrap();
    assert!(ask(address, &authority).await.unwrap().ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn it_is_in_order_once_kube_apiserver_can_trust_what_is_served() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let service = tower::service_fn(move |request: Request<Body>| {
        let is_configuration = request
            .uri()
            .path()
            .contains("validatingwebhookconfigurations");
        let is_first = is_configuration && counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let (parts, body) = request.into_parts();
            let (code, bytes) = match parts.method {
                Method::POST => (201, body.collect_bytes().await?.to_vec()),
                _ => refusal(if is_first { 503 } else { 404 }),
            };
            let response = Response::builder().status(code).body(Body::from(bytes));
            Ok::<_, kube::Error>(response.unwrap())
        }
    });
    let kept = certificate::SelfManaged {
        namespace: "warren".into(),
        secret: "certificate".into(),
        service: "webhook".into(),
        configuration: "warren".into(),
    };
    let (client, current) = (Client::new(service, "warren"), Current::default());
    let told = Notify::new();
    tokio::select! {
        () = kept.keep(&client, &current, || told.notify_one()) => {}
        () = told.notified() => {}
    }
    assert_eq!(looks.load(Ordering::Relaxed), 2, "the first look failed");
    assert!(current.0.load().is_some(), "and by then it is served");
}

fn refusal(code: u16) -> (u16, Vec<u8>) {
    let reason = if code == 404 { "NotFound" } else { "" };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
    });
    (code, body.to_string().into_bytes())
}
