//! `/livez`, `/readyz` and `/metrics`.
//!
//! Live means the process answers. Ready means admission can be asked: its certificate is served and trusted; without
//! admission it is ready at once. It says nothing of the Lease: a replica that waits for it is ready, for it answers
//! admission, and a roll-out of the operator goes on. The leader brings the CRDs, and what it cannot bring ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Whether the program has started.
#[derive(Clone, Debug, Default)]
pub struct Started(Arc<AtomicBool>);

impl Started {
    /// From now on `/readyz` says yes.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        if self.0.load(Ordering::Acquire) {
            (StatusCode::OK, "ok")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "starting: the webhook has no certificate that kube-apiserver trusts yet; the log says why",
            )
        }
    }
}

/// The pages of the health listener.
pub fn health(started: Started) -> Router {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(async move || started.answer()))
}

/// The page of the metrics listener.
pub fn metrics(metrics: Arc<Metrics>) -> Router {
    const TEXT: [(header::HeaderName, &str); 1] = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    Router::new().route("/metrics", get(async move || (TEXT, metrics.page())))
}

/// Listens and serves for ever; without an address, waits for ever.
pub async fn serve(address: Option<SocketAddr>, pages: Router) -> std::io::Result<()> {
    let Some(address) = address else {
        return std::future::pending().await;
    };
    let listener = listen(address).await?;
    tracing::info!(%address, "listening");
    axum::serve(listener, pages).await
}

/// Every interface means both families where there are two.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            TcpListener::bind(("0.0.0.0", address.port())).await
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn status(pages: Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        pages.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn readiness_waits_for_the_start_and_liveness_does_not() {
        let started = Started::default();
        assert_eq!(
            status(health(started.clone()), "/readyz").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(
            status(health(started.clone()), "/livez").await,
            StatusCode::OK
        );
        started.set();
        assert_eq!(status(health(started), "/readyz").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_where_prometheus_looks() {
        assert_eq!(
            status(metrics(Arc::new(Metrics::new())), "/metrics").await,
            StatusCode::OK
        );
    }
}
