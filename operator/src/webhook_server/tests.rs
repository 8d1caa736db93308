//! Holds `webhook_server.rs` to what it promises.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::*;
use crate::pki::leaf::{San, Usage};
use crate::pki::{Authority, Request};

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
    let request = Request {
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
