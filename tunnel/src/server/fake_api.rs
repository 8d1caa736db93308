//! An API server for tests: real HTTP on a real port, answers by a closure, requests counted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::kube_client::KubeClient;

/// What a request was.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
}

type Script = dyn Fn(&Asked) -> (u16, Value) + Send + Sync;

/// A running server; it ends when dropped.
pub(crate) struct FakeApi {
    pub(crate) kube: Arc<KubeClient>,
    asked: Arc<Mutex<Vec<Asked>>>,
    _kubeconfig: tempfile::NamedTempFile,
    _server: JoinSet<()>,
}

impl FakeApi {
    /// Starts one that answers by `script`.
    pub(crate) async fn start(
        script: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let kubeconfig = kubeconfig(address);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(accept(listener, Arc::new(script), Arc::clone(&asked)));
        let kube = Arc::new(KubeClient::new(Some(kubeconfig.path().to_path_buf())));
        Self {
            kube,
            asked,
            _kubeconfig: kubeconfig,
            _server: server,
        }
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

/// A `Status` of the kind `Failure`.
pub(crate) fn failure(code: u16, reason: &str) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": reason, "reason": reason, "code": code,
    });
    (code, body)
}

fn kubeconfig(address: SocketAddr) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": format!("http://{address}")}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
    });
    std::fs::write(file.path(), text.to_string()).expect("writable");
    file
}

async fn accept(listener: TcpListener, script: Arc<Script>, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
        let service = service_fn(move |request: Request<Incoming>| {
            let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
            async move { Ok::<_, Infallible>(answer(request, &script, &asked).await) }
        });
        connections.spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service);
            drop(served.await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: &Arc<Script>,
    asked: &Mutex<Vec<Asked>>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let request = Asked {
        method: parts.method,
        path: parts.uri.to_string(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    asked
        .lock()
        .expect("no test panics with it")
        .push(request.clone());
    let (status, body) = script(&request);
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a legal status");
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}
