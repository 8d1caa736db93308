//! The agent's pages: alive as long as it answers, ready while a server is connected; what it holds.

use http::StatusCode;
use http::request::Parts;

use super::metrics::Metrics;
use super::status::Inside;
use crate::admin::{Answer, Pages, moved_to_port, text};
use crate::drain::Watcher;

/// Pages of the health listener.
pub fn health_pages(metrics: &Metrics, drain: &Watcher) -> Pages {
    let pages = Pages::new()
        .with_liveness()
        .with_metrics(metrics.registry.clone());
    ["/readyz", "/ready"]
        .into_iter()
        .fold(pages, |pages, path| {
            let (metrics, drain) = (metrics.clone(), drain.clone());
            pages.at(path, move |request| {
                readiness(request, unreadiness(&metrics, &drain))
            })
        })
}

/// Pages of the admin listener; metrics live on the health port.
pub fn admin_pages(health_port: u16, inside: Inside) -> Pages {
    Pages::new()
        .at("/metrics", move |request| {
            moved_to_port(request, health_port)
        })
        .with_status(move || inside.status())
}

fn unreadiness(metrics: &Metrics, drain: &Watcher) -> Option<&'static str> {
    if drain.is_draining() {
        return Some("agent is draining");
    }
    (metrics.open_servers.get() == 0).then_some("no servers connected")
}

fn readiness(request: &Parts, unready: Option<&str>) -> Answer {
    let is_verbose = request.uri.query().is_some_and(|query| {
        query
            .split('&')
            .any(|word| word.split('=').next() == Some("verbose"))
    });
    match unready {
        Some(reason) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("[+]ping ok\n[-]server-connected failed: {reason}\n"),
        ),
        None if is_verbose => text(
            StatusCode::OK,
            "[+]ping ok\n[+]server-connected ok\ncheck passed\n",
        ),
        None => text(StatusCode::OK, "ok"),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::drain;
    use crate::register::connection::Peer;

    async fn ask(metrics: &Metrics, drain: &Watcher, uri: &str) -> (u16, String) {
        let (request, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
        let answer = readiness(&request, unreadiness(metrics, drain));
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_servers_and_drain() {
        let (trigger, watcher) = drain::channel();
        let metrics = Metrics::new();
        let none = "[+]ping ok\n[-]server-connected failed: no servers connected\n".to_owned();
        assert_eq!(ask(&metrics, &watcher, "/readyz").await, (503, none));
        let _server = metrics.open_servers.enter(Peer::new("a", "native"));
        assert_eq!(
            ask(&metrics, &watcher, "/readyz").await,
            (200, "ok".to_owned())
        );
        let all = "[+]ping ok\n[+]server-connected ok\ncheck passed\n".to_owned();
        assert_eq!(ask(&metrics, &watcher, "/readyz?verbose").await, (200, all));
        trigger.start();
        assert_eq!(ask(&metrics, &watcher, "/readyz").await.0, 503);
    }
}
