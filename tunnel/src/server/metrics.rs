//! What the server counts: every family of the reference, present from the start, and a few of our own.
//! In: events, as verbs. Out: values under the names that dashboards know. Counting never fails and never waits.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::strategy::Strategy;
use crate::metrics::{Family, Registry};
use crate::register::Register;
use crate::register::connection::Open;

mod labels;
mod leases;

pub(crate) use labels::{DialFailureReason, PacketKind, Segment};
pub(crate) use leases::LeaseMetrics;

/// Prefix of every name.
pub(crate) const PREFIX: &str = "konnectivity_network_proxy_server_";

const DIAL_BUCKETS: [f64; 9] = [1e-6, 1e-5, 1e-4, 0.005, 0.025, 0.1, 0.5, 2.5, 12.5];
const LIFETIME_BUCKETS: [f64; 12] = [
    1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
];

/// Every family of the server; a clone counts into the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Families>);

impl Metrics {
    /// Registers every family.
    pub(crate) fn new(registry: &Registry) -> Self {
        Self(Arc::new(Families::new(registry)))
    }
}

impl Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0
    }
}

/// What [`Metrics`] count.
#[derive(Debug)]
pub(crate) struct Families {
    /// `DIAL_REQ` accepted → `DIAL_RSP`.
    pub(crate) dial_duration: Histogram,
    /// Time blocked writing to a frontend.
    pub(crate) frontend_write_duration: Histogram,
    /// Lifetime after the dial.
    pub(crate) connection_duration: Histogram,
    /// Open `Proxy` streams.
    pub(crate) proxy_streams: IntGauge,
    /// Open `Connect` streams.
    pub(crate) connect_streams: IntGauge,
    /// CONNECT requests being served.
    pub(crate) http_connections: IntGauge,
    /// Dials without an answer yet.
    pub(crate) pending_dials: IntGauge,
    /// Connections that are open, one by one.
    pub(crate) established: Register<Open>,
    /// Frontends' gRPC streams that wait because their agent takes nothing more.
    pub(crate) full_proxy_channels: IntGauge,
    /// Agent streams that wait because one moving connection is at its cap.
    pub(crate) full_connect_channels: IntGauge,
    /// How often that happened.
    pub(crate) shared_stream_waits: IntCounter,
    /// Connections closed because their frontend drained nothing.
    pub(crate) stalled: IntCounter,
    /// Bytes from agents that wait for frontends.
    pub(crate) queued_bytes: IntGauge,
    /// Dials that a second agent answered.
    pub(crate) dial_retries: IntCounter,
    /// Other servers this one is connected to.
    pub(crate) siblings: IntGauge,
    /// Connections that are relayed for them.
    pub(crate) relayed: IntGauge,
    /// Lease requests.
    pub(crate) leases: LeaseMetrics,
    ready_connections: IntGauge,
    by: Labelled,
}

/// Families with labels, each counted by a verb.
#[derive(Debug)]
struct Labelled {
    ready_backends: IntGaugeVec,
    dial_failures: IntCounterVec,
    packets: Vec<IntCounter>,
    stream_errors: IntCounterVec,
    outcomes: IntCounterVec,
    token_reviews: IntCounterVec,
    token_checks: IntCounterVec,
}

impl Families {
    fn new(registry: &Registry) -> Self {
        let gauge = |name, help| registry.gauge(Family(name, help));
        let counter = |name, help| registry.counter(Family(name, help));
        let time = |name, help| registry.histogram(Family(name, help), &DIAL_BUCKETS);
        let grpc = by_method(registry, "grpc_connections", "Open gRPC streams.");
        let full = by_method(
            registry,
            "full_receive_channels",
            "Streams that wait for room.",
        );
        Self {
            dial_duration: time("dial_duration_seconds", "Time from a dial to its answer."),
            frontend_write_duration: time(
                "frontend_write_duration_seconds",
                "Time writing to a frontend.",
            ),
            connection_duration: registry.histogram(
                Family(
                    "connection_duration_seconds",
                    "Lifetime of a connection after its dial.",
                ),
                &LIFETIME_BUCKETS,
            ),
            proxy_streams: grpc.with_label_values(&["Proxy"]),
            connect_streams: grpc.with_label_values(&["Connect"]),
            http_connections: gauge("http_connections", "CONNECT requests being served."),
            pending_dials: gauge("pending_backend_dials", "Dials without an answer yet."),
            established: Register::new(gauge(
                "established_connections",
                "Connections that are open.",
            )),
            full_proxy_channels: full.with_label_values(&["Proxy"]),
            full_connect_channels: full.with_label_values(&["Connect"]),
            shared_stream_waits: counter(
                "shared_stream_waits_total",
                "Times an agent's stream waited for a moving connection at its cap.",
            ),
            stalled: counter(
                "stalled_connections_total",
                "Connections closed because their frontend drained nothing.",
            ),
            queued_bytes: gauge("queued_bytes", "Bytes from agents that wait for frontends."),
            dial_retries: counter(
                "dial_retries_total",
                "Dials repeated on another agent because the first failed.",
            ),
            siblings: gauge("peer_servers", "Other servers this one can dial through."),
            relayed: gauge(
                "peer_relayed_connections",
                "Connections open on behalf of other servers.",
            ),
            leases: LeaseMetrics::new(registry),
            ready_connections: gauge("ready_backend_connections", "Agents of the first strategy."),
            by: Labelled::new(registry),
        }
    }

    /// Frontends being served, whatever they speak, those of siblings included.
    pub(crate) fn frontends(&self) -> i64 {
        self.proxy_streams.get() + self.http_connections.get() + self.relayed.get()
    }

    /// A packet passed.
    pub(crate) fn packet(&self, segment: Segment, kind: PacketKind) {
        if let Some(counter) = self
            .by
            .packets
            .get(segment as usize * PacketKind::ALL.len() + kind as usize)
        {
            counter.inc();
        }
    }

    /// A dial failed.
    pub(crate) fn dial_failed(&self, reason: DialFailureReason) {
        self.by
            .dial_failures
            .with_label_values(&[reason.as_str()])
            .inc();
    }

    /// A stream failed.
    pub(crate) fn stream_failed(&self, segment: Segment, code: &str, kind: Option<PacketKind>) {
        let kind = kind.map_or("Unknown", PacketKind::as_str);
        self.by
            .stream_errors
            .with_label_values(&[segment.as_str(), code, kind])
            .inc();
    }

    /// Membership changed.
    pub(crate) fn ready(&self, strategy: Strategy, identifiers: usize) {
        self.by
            .ready_backends
            .with_label_values(&[strategy.as_str()])
            .set(i64::try_from(identifiers).unwrap_or(i64::MAX));
    }

    /// Membership of the first strategy changed.
    pub(crate) fn ready_first(&self, identifiers: usize) {
        self.ready_connections
            .set(i64::try_from(identifiers).unwrap_or(i64::MAX));
    }

    /// A connection ended.
    pub(crate) fn ended(&self, reason: &str, lifetime: Duration) {
        self.by.outcomes.with_label_values(&[reason]).inc();
        self.connection_duration.observe(lifetime.as_secs_f64());
    }

    /// A token was judged by the service-account key.
    pub(crate) fn checked(&self, result: &str) {
        self.by.token_checks.with_label_values(&[result]).inc();
    }

    /// A token was looked at.
    pub(crate) fn reviewed(&self, result: &str) {
        self.by.token_reviews.with_label_values(&[result]).inc();
    }
}

impl Labelled {
    fn new(registry: &Registry) -> Self {
        Self {
            ready_backends: registry.gauges(
                Family("ready_backends", "Identifiers a strategy can choose from."),
                &["proxy_strategy"],
                &Strategy::ALL
                    .map(Strategy::as_str)
                    .each_ref()
                    .map(std::slice::from_ref),
            ),
            dial_failures: registry.counters(
                Family("dial_failure_count", "Dials that failed, by reason."),
                &["reason"],
                &DialFailureReason::ALL
                    .map(DialFailureReason::as_str)
                    .each_ref()
                    .map(std::slice::from_ref),
            ),
            packets: packets(registry),
            stream_errors: stream_errors(registry),
            outcomes: registry.counters(
                Family("connection_outcomes_total", "How connections ended."),
                &["reason"],
                &[
                    &["frontend_closed"],
                    &["agent_closed"],
                    &["agent_lost"],
                    &["stalled"],
                ],
            ),
            token_reviews: registry.counters(
                Family(
                    "token_reviews_total",
                    "Agents' tokens given to the API server, by what became of them.",
                ),
                &["result"],
                &[&["accepted"], &["rejected"], &["unanswered"], &["cached"]],
            ),
            token_checks: registry.counters(
                Family(
                    "token_checks_total",
                    "Agents' tokens judged by the service-account key.",
                ),
                &["result"],
                &[&["accepted"], &["rejected"]],
            ),
        }
    }
}

fn by_method(registry: &Registry, name: &'static str, help: &'static str) -> IntGaugeVec {
    registry.gauges(
        Family(name, help),
        &["service_method"],
        &[&["Proxy"], &["Connect"]],
    )
}

fn stream_errors(registry: &Registry) -> IntCounterVec {
    let known = Segment::ALL.map(|segment| [segment.as_str(), "Canceled", "Unknown"]);
    registry.counters(
        Family("stream_errors_total", "Errors of streams."),
        &["segment", "code", "packet_type"],
        &known.each_ref().map(<[&str; 3]>::as_slice),
    )
}

fn packets(registry: &Registry) -> Vec<IntCounter> {
    let family = registry.counters(
        Family("stream_packets_total", "Packets, by link and type."),
        &["segment", "packet_type"],
        &[],
    );
    Segment::ALL
        .iter()
        .flat_map(|segment| PacketKind::ALL.iter().map(move |kind| (segment, kind)))
        .map(|(segment, kind)| family.with_label_values(&[segment.as_str(), kind.as_str()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_of_the_reference_is_there_from_the_start() {
        let registry = Registry::new(PREFIX);
        let _metrics = Metrics::new(&registry);
        let page = registry.page();
        for line in [
            "dial_duration_seconds_bucket{le=\"1e-06\"} 0",
            "frontend_write_duration_seconds_count 0",
            "connection_duration_seconds_bucket{le=\"86400\"} 0",
            "grpc_connections{service_method=\"Proxy\"} 0",
            "grpc_connections{service_method=\"Connect\"} 0",
            "http_connections 0",
            "ready_backend_connections 0",
            "ready_backends{proxy_strategy=\"destHost\"} 0",
            "pending_backend_dials 0",
            "established_connections 0",
            "full_receive_channels{service_method=\"Proxy\"} 0",
            "full_receive_channels{service_method=\"Connect\"} 0",
            "dial_failure_count{reason=\"no_agent\"} 0",
            "dial_failure_count{reason=\"send_rsp\"} 0",
            "dial_failure_count{reason=\"backend_dial_timeout\"} 0",
            "dial_failure_count{reason=\"too_many_pending\"} 0",
            "stream_packets_total{packet_type=\"DIAL_REQ\",segment=\"from_client\"} 0",
            "stream_packets_total{packet_type=\"DATA\",segment=\"from_agent\"} 0",
            "stream_errors_total{code=\"Canceled\",packet_type=\"Unknown\",segment=\"to_agent\"} 0",
            "culled_leases_count 0",
            "lease_delete_total{http_status_code=\"200\",reason=\"\"} 0",
            "lease_list_latency_seconds_count{http_status_code=\"200\"} 0",
        ] {
            assert!(
                page.contains(&format!("{PREFIX}{line}\n")),
                "{line} not in\n{page}"
            );
        }
    }
}
