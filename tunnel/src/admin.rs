//! The health and admin listeners: small pages over HTTP/1.1, served by the control runtime.
//!
//! What a page says is a closure of the program: the server and the agent differ in readiness texts
//! and in who has `/metrics`. Failing to listen is logged and not fatal, as in the reference: a
//! clash of admin ports must not cost a cluster its tunnel.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::drain::Watcher;
use crate::metrics::Registry;
use crate::status::document::Status;

/// Connections served at once per listener; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// A client has this long to send its request.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// What a page answers.
pub type Answer = Response<Full<Bytes>>;
type Page = dyn Fn(&Parts) -> Answer + Send + Sync;

/// The pages of one listener, by path.
#[derive(Clone, Default)]
pub struct Pages(BTreeMap<&'static str, Arc<Page>>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Pages {
    /// No pages: every path is 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a page.
    #[must_use]
    pub fn at(
        mut self,
        path: &'static str,
        page: impl Fn(&Parts) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(path, Arc::new(page));
        self
    }

    /// Adds `/healthz`, which says `ok` as long as the process answers at all.
    #[must_use]
    pub fn with_liveness(self) -> Self {
        self.at("/healthz", |_| text(StatusCode::OK, "ok"))
    }

    /// Adds `/metrics` of a registry.
    #[must_use]
    pub fn with_metrics(self, registry: Registry) -> Self {
        self.at("/metrics", move |_| {
            let mut answer = text(StatusCode::OK, registry.page());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
            answer
        })
    }

    /// Adds `/status`, made anew for each request.
    #[must_use]
    pub fn with_status(self, status: impl Fn() -> Status + Send + Sync + 'static) -> Self {
        self.at("/status", move |_| match serde_json::to_vec(&status()) {
            Ok(json) => {
                let mut answer = text(StatusCode::OK, json);
                let kind = HeaderValue::from_static("application/json");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        })
    }

    fn answer(&self, request: &Parts) -> Answer {
        if request.method != Method::GET && request.method != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let path = request.uri.path();
        match self.0.get(path) {
            Some(page) => page(request),
            None if path.starts_with("/debug/pprof") => text(StatusCode::NOT_FOUND, NO_PROFILES),
            None => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }
}

const NO_PROFILES: &str = "no profiles here: pprof is the Go runtime's, and this program is not \
    written in Go. Use `perf record -p PID` on the node.\n";

/// A plain-text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// 301 to the same path on another port of the host the client used.
pub fn moved_to_port(request: &Parts, port: u16) -> Answer {
    let host = request
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let host = authority
        .as_ref()
        .map_or("localhost", http::uri::Authority::host);
    let mut answer = text(StatusCode::MOVED_PERMANENTLY, "");
    let location = format!("http://{host}:{port}{}", request.uri.path());
    match HeaderValue::from_str(&location) {
        Ok(location) => answer.headers_mut().insert(LOCATION, location),
        Err(_) => return text(StatusCode::BAD_REQUEST, "host header is not usable\n"),
    };
    answer
}

/// Joins a bind address and a port as listeners want them; empty means every interface, and IPv6
/// gets its brackets.
pub fn listen_address(host: &str, port: u16) -> String {
    let bare = host.trim_matches(['[', ']']);
    match bare {
        "" => format!("[::]:{port}"),
        _ if bare.contains(':') => format!("[{bare}]:{port}"),
        _ => format!("{bare}:{port}"),
    }
}

/// Listens on `address` and serves `pages` until everything must end. Call on the control runtime.
pub async fn listen(name: &'static str, address: String, pages: Pages, mut drain: Watcher) {
    let listener = match bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, address, "{name} listener does not start; going on without");
            return;
        }
    };
    tracing::info!(address, "{name} listener started");
    tokio::select! {
        () = serve(listener, pages) => {}
        () = drain.forced() => {}
    }
}

/// Every interface means both families where there are two.
async fn bind(address: &str) -> std::io::Result<TcpListener> {
    match (
        TcpListener::bind(address).await,
        address.strip_prefix("[::]:"),
    ) {
        (Err(_), Some(port)) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
        (bound, _) => bound,
    }
}

/// Serves `pages` on a listener for ever.
pub async fn serve(listener: TcpListener, pages: Pages) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => drop(connections.spawn(exchange(socket, pages.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn exchange(socket: TcpStream, pages: Pages) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (parts, _) = request.into_parts();
        let answer = pages.answer(&parts);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "admin connection ended");
    }
}

#[cfg(test)]
mod tests;
