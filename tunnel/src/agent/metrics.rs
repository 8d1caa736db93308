//! What the agent counts: the reference's names and labels, all there from the start, and three of
//! our own for connections that were closed, or made others wait, for standing still.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use crate::metrics::{DEFAULT_BUCKETS, Family, Registry};
use crate::register::Register;
use crate::register::connection::{Open, Peer};

/// Packets this agent sends.
pub const FROM_AGENT: &str = "from_agent";
/// Packets this agent receives.
pub const TO_AGENT: &str = "to_agent";

const DIAL_BUCKETS: [f64; 7] = [0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// Every metric of the agent. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The page they are on.
    pub registry: Registry,
    /// From `DIAL_REQ` to `DIAL_RSP`.
    pub dial_duration: Histogram,
    /// Dials that failed, by `reason`.
    pub dial_failures: IntCounterVec,
    /// Streams to servers that broke, by `direction`.
    pub server_failures: IntCounterVec,
    /// Streams to servers, one by one.
    pub open_servers: Register<Peer>,
    /// Servers that are known to exist.
    pub known_servers: IntGauge,
    /// Connections to endpoints, one by one.
    pub open_endpoints: Register<Open>,
    /// Packets by `segment` and `packet_type`.
    pub packets: IntCounterVec,
    /// Broken streams by `segment`, `packet_type` and `code`.
    pub stream_errors: IntCounterVec,
    /// Lists of Leases.
    pub leases: LeaseMetrics,
    /// Connections closed because their endpoint took nothing.
    pub stalled: IntCounter,
    /// Times the shared stream waited for one connection at its cap.
    pub waits: IntCounter,
    /// Bytes that wait for endpoints.
    pub queued: IntGauge,
}

/// What the agent counts of Leases.
#[derive(Clone, Debug)]
pub struct LeaseMetrics {
    /// Lists, by `http_response_code` and `reason`.
    pub lists: IntCounterVec,
    /// How long lists took, by `http_response_code`.
    pub list_latency: HistogramVec,
}

impl LeaseMetrics {
    fn new(registry: &Registry) -> Self {
        let labels = ["http_response_code", "reason"];
        // The reference registers this one and never touches it.
        registry.counters(
            Family("lease_watches_total", "Watches of server Leases."),
            &labels,
            &[&["200", ""]],
        );
        Self {
            lists: registry.counters(
                Family("lease_lists_total", "Lists of server Leases."),
                &labels,
                &[&["200", ""]],
            ),
            list_latency: registry.histograms(
                Family(
                    "lease_list_latency_seconds",
                    "Seconds a list of server Leases took.",
                ),
                &DEFAULT_BUCKETS,
                &["http_response_code"],
                &[&["200"]],
            ),
        }
    }
}

impl Metrics {
    /// Declares them all.
    pub fn new() -> Self {
        let registry = Registry::new("konnectivity_network_proxy_agent_");
        let r = &registry;
        Self {
            dial_duration: r.histogram(
                Family(
                    "dial_duration_seconds",
                    "Seconds from dial request to answer.",
                ),
                &DIAL_BUCKETS,
            ),
            dial_failures: r.counters(
                Family(
                    "endpoint_dial_failure_total",
                    "Dials to endpoints that failed.",
                ),
                &["reason"],
                &[&["timeout"], &["unknown"]],
            ),
            server_failures: r.counters(
                Family(
                    "server_connection_failure_count",
                    "Streams to servers that broke.",
                ),
                &["direction"],
                &[&["to_server"], &["from_server"]],
            ),
            open_servers: Register::new(
                r.gauge(Family("open_server_connections", "Streams to servers now.")),
            ),
            known_servers: r.gauge(Family("known_server_count", "Servers known to exist.")),
            open_endpoints: Register::new(r.gauge(Family(
                "open_endpoint_connections",
                "Connections to endpoints now.",
            ))),
            packets: packets(r),
            stream_errors: r.counters(
                Family("stream_errors_total", "Errors of streams to servers."),
                &["code", "packet_type", "segment"],
                &[
                    &["Unavailable", "Unknown", TO_AGENT],
                    &["Unavailable", "DATA", FROM_AGENT],
                ],
            ),
            leases: LeaseMetrics::new(r),
            stalled: r.counter(Family(
                "stalled_connections_total",
                "Connections closed because their endpoint took nothing.",
            )),
            waits: r.counter(Family(
                "shared_stream_waits_total",
                "Times all connections of a stream waited for one that was full but moving.",
            )),
            queued: r.gauge(Family("queued_bytes", "Bytes that wait for endpoints.")),
            registry,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn packets(registry: &Registry) -> IntCounterVec {
    registry.counters(
        Family("stream_packets_total", "Packets of streams to servers."),
        &["packet_type", "segment"],
        &[
            &["DIAL_REQ", TO_AGENT],
            &["DIAL_CLS", TO_AGENT],
            &["DATA", TO_AGENT],
            &["CLOSE_REQ", TO_AGENT],
            &["DIAL_RSP", FROM_AGENT],
            &["DATA", FROM_AGENT],
            &["CLOSE_RSP", FROM_AGENT],
            &["DRAIN", FROM_AGENT],
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_reference_is_there_from_the_start() {
        let metrics = Metrics::new();
        let page = metrics.registry.page();
        for name in [
            "dial_duration_seconds_bucket{le=\"30\"} 0",
            "endpoint_dial_failure_total{reason=\"timeout\"} 0",
            "endpoint_dial_failure_total{reason=\"unknown\"} 0",
            "server_connection_failure_count{direction=\"to_server\"} 0",
            "server_connection_failure_count{direction=\"from_server\"} 0",
            "open_server_connections 0",
            "known_server_count 0",
            "open_endpoint_connections 0",
            "stream_packets_total{packet_type=\"DIAL_REQ\",segment=\"to_agent\"} 0",
            "stream_packets_total{packet_type=\"DATA\",segment=\"from_agent\"} 0",
            "stream_errors_total{code=\"Unavailable\",packet_type=\"DATA\",segment=\"from_agent\"} 0",
            "lease_lists_total{http_response_code=\"200\",reason=\"\"} 0",
            "lease_list_latency_seconds_count{http_response_code=\"200\"} 0",
        ] {
            let line = format!("konnectivity_network_proxy_agent_{name}\n");
            assert!(page.contains(&line), "{line} is not in {page}");
        }
    }
}
