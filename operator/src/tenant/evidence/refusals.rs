//! How many agents' tokens the tenant's konnectivity-servers have refused, as their own metrics say.
//!
//! Counters only grow and a server may have refused somebody long ago, so what counts is that one grew lately:
//! [`Refusals`] remembers when it last did.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::api::TenantControlPlane;
use crate::labels;
use crate::tenant::call::call;
use crate::tenant::inputs::HostPort;

/// Where servers show `/metrics` beside `/healthz`.
const PORT: u16 = 8134;
/// The counters of tokens: judged by the service-account key, and by the API server.
const COUNTERS: [&str; 2] = [
    "konnectivity_network_proxy_server_token_checks_total",
    "konnectivity_network_proxy_server_token_reviews_total",
];
/// A server that does not answer at once is left out.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than any server says.
const MOST_BYTES: usize = 1 << 20;
/// No control plane has more pods.
const MOST_PODS: u32 = 20;
/// How long a refusal explains why nobody is connected; agents come back every ten seconds.
const LATELY: Duration = Duration::from_mins(1);

/// What was seen of one tenant's servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusals {
    total: u64,
    grew: Option<Instant>,
}

impl Refusals {
    /// Takes the newest total; says how many refusals there are if there was one lately.
    pub fn seen(&mut self, total: u64, now: Instant) -> u64 {
        if total > self.total {
            self.grew = Some(now);
        }
        self.total = total;
        let lately = self
            .grew
            .is_some_and(|grew| now.duration_since(grew) < LATELY);
        if lately { total } else { 0 }
    }
}

/// Asks every server of the tenant. `None` when none could be asked.
pub async fn count(management: &Client, tcp: &TenantControlPlane) -> Option<u64> {
    let namespace = tcp.namespace()?;
    let pods: Api<Pod> = Api::namespaced(management.clone(), &namespace);
    let selector = format!("{}={}", labels::NAME, tcp.name_any());
    let params = ListParams::default().labels(&selector).limit(MOST_PODS);
    let pods = call(pods.list(&params)).await.ok()?;
    let mut sum = None;
    for address in pods.items.into_iter().filter_map(|pod| pod.status?.pod_ip) {
        let server = HostPort {
            host: address,
            port: PORT,
        };
        if let Ok(Some(text)) = timeout(PATIENCE, metrics(&server)).await {
            sum = Some(sum.unwrap_or_default() + rejected(&text));
        }
    }
    sum
}

async fn metrics(server: &HostPort) -> Option<String> {
    let stream = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .ok()?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.ok()?;
    let request = http::Request::get("/metrics").header(http::header::HOST, server.to_string());
    let request = request.body(Empty::<bytes::Bytes>::new()).ok()?;
    let answer = async move {
        let response = sender.send_request(request).await.ok()?;
        let body = Limited::new(response.into_body(), MOST_BYTES)
            .collect()
            .await
            .ok()?;
        String::from_utf8(body.to_bytes().to_vec()).ok()
    };
    // The connection ends when the answer has let go of the sender.
    tokio::join!(answer, connection).0
}

/// The refused ones in a page of metrics.
fn rejected(page: &str) -> u64 {
    let counts = page.lines().filter(|line| {
        COUNTERS.iter().any(|counter| line.starts_with(counter))
            && line.contains("result=\"rejected\"")
    });
    counts
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_tokens_are_found_among_the_metrics() {
        let page = "# TYPE konnectivity_network_proxy_server_token_reviews_total counter\n\
            konnectivity_network_proxy_server_token_reviews_total{result=\"accepted\"} 7\n\
            konnectivity_network_proxy_server_token_reviews_total{result=\"rejected\"} 3\n\
            konnectivity_network_proxy_server_token_checks_total{result=\"accepted\"} 5\n\
            konnectivity_network_proxy_server_token_checks_total{result=\"rejected\"} 4\n\
            konnectivity_network_proxy_server_dial_failure_count{reason=\"no_agent\"} 9\n";
        assert_eq!(rejected(page), 7);
        assert_eq!(rejected(""), 0);
    }

    #[test]
    fn only_a_counter_that_grew_lately_explains_anything() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.seen(0, start), 0);
        assert_eq!(refusals.seen(2, start), 2);
        assert_eq!(refusals.seen(2, after(59)), 2);
        assert_eq!(refusals.seen(2, after(61)), 0);
        // A new server starts to count from nothing.
        assert_eq!(refusals.seen(1, after(62)), 0);
        assert_eq!(refusals.seen(3, after(63)), 3);
    }
}
