//! An API server for tests: real HTTP on a real port, answers by a closure, requests counted and held back on demand.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

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
    state: Arc<State>,
    kubeconfig: tempfile::NamedTempFile,
    _server: JoinSet<()>,
}

struct State {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    answers: Semaphore,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl FakeApi {
    /// Starts one that answers by `script`.
    pub(crate) async fn start(
        script: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let api = Self::held(script).await;
        api.release();
        api
    }

    /// The same, with every answer held back until [`FakeApi::release`].
    pub(crate) async fn held(
        script: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let kubeconfig = kubeconfig(address);
        let state = Arc::new(State {
            script: Box::new(script),
            asked: Mutex::new(Vec::new()),
            answers: Semaphore::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, Arc::clone(&state)));
        let kube = Arc::new(KubeClient::new(Some(kubeconfig.path().to_path_buf())));
        Self {
            kube,
            state,
            kubeconfig,
            _server: server,
        }
    }

    /// Holds no answer back any more.
    pub(crate) fn release(&self) {
        self.state.answers.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Requests that were open at the same time, at most.
    pub(crate) fn most_open(&self) -> usize {
        self.state.most_open.load(Ordering::Relaxed)
    }

    /// Its address and credentials.
    pub(crate) fn kubeconfig(&self) -> &Path {
        self.kubeconfig.path()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn is_asked(&self, times: usize) {
        let mut tick = interval(Duration::from_millis(5));
        let asked = async {
            while self.asked().len() < times {
                tick.tick().await;
            }
        };
        timeout(Duration::from_secs(30), asked)
            .await
            .expect("it is asked");
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.state.asked.lock();
        asked.expect("no test panics with it").clone()
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

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request: Request<Incoming>| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(answer(request, &state).await) }
        });
        connections.spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service);
            drop(served.await);
        });
    }
}

async fn answer(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
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
    let open = state.open.fetch_add(1, Ordering::Relaxed) + 1;
    state.most_open.fetch_max(open, Ordering::Relaxed);
    let asked = state.asked.lock();
    asked.expect("no test panics with it").push(request.clone());
    let answers = state.answers.acquire().await;
    answers.expect("it is never closed").forget();
    let (status, body) = (state.script)(&request);
    state.open.fetch_sub(1, Ordering::Relaxed);
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a legal status");
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    response
}
