//! What is counted about leases.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

use crate::metrics::{DEFAULT_BUCKETS, Family, Registry};

/// Lease requests.
#[derive(Clone, Debug)]
pub(crate) struct LeaseMetrics {
    live: IntGauge,
    culled: IntCounter,
    deletes: IntCounterVec,
    delete_latency: HistogramVec,
    lists: IntCounterVec,
    list_latency: HistogramVec,
}

impl LeaseMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let (code, reason): (&[&str], &[&str]) =
            (&["http_status_code"], &["http_status_code", "reason"]);
        Self {
            live: registry.gauge(Family("live_servers", "Live servers by their leases.")),
            culled: registry.counter(Family("culled_leases_count", "Expired leases deleted.")),
            deletes: registry.counters(
                Family("lease_delete_total", "Requests to delete a lease."),
                reason,
                &[&["200", ""]],
            ),
            delete_latency: registry.histograms(
                Family("lease_delete_latency_seconds", "Time to delete a lease."),
                &DEFAULT_BUCKETS,
                code,
                &[&["200"]],
            ),
            lists: registry.counters(
                Family("lease_list_total", "Requests to list leases."),
                reason,
                &[&["200", ""]],
            ),
            list_latency: registry.histograms(
                Family("lease_list_latency_seconds", "Time to list leases."),
                &DEFAULT_BUCKETS,
                code,
                &[&["200"]],
            ),
        }
    }

    /// Servers were counted.
    pub(crate) fn counted(&self, live: usize) {
        self.live.set(i64::try_from(live).unwrap_or(i64::MAX));
    }

    /// Leases were listed.
    pub(crate) fn listed(&self, (code, reason): (u16, &str), took: Duration) {
        let code = code.to_string();
        self.lists.with_label_values(&[code.as_str(), reason]).inc();
        self.list_latency
            .with_label_values(&[code.as_str()])
            .observe(took.as_secs_f64());
    }

    /// A lease was deleted, or not.
    pub(crate) fn deleted(&self, (code, reason): (u16, &str), took: Duration) {
        let code = code.to_string();
        self.deletes
            .with_label_values(&[code.as_str(), reason])
            .inc();
        self.delete_latency
            .with_label_values(&[code.as_str()])
            .observe(took.as_secs_f64());
    }

    /// An expired lease is gone.
    pub(crate) fn culled(&self) {
        self.culled.inc();
    }
}
