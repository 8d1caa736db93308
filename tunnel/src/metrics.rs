//! What a program counts, and the page a scraper reads.
//!
//! Names are the reference's to the letter, with counters that lack `_total`, so dashboards keep
//! working; every family is on the page from the first scrape. `server/metrics.rs` and
//! `agent/metrics.rs` declare theirs through [`Registry`]; [`text`] writes them as Go does.

mod process;
pub mod text;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// Buckets of the Prometheus clients where the reference names none.
pub const DEFAULT_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

const STATIC: &str = "metric names, labels and buckets are constants, each used once";

/// One family before it is made: name without the program's prefix, and what it tells.
#[derive(Clone, Copy, Debug)]
pub struct Family(pub &'static str, pub &'static str);

/// All metrics of one program.
#[derive(Clone, Debug)]
pub struct Registry {
    prefix: &'static str,
    families: prometheus::Registry,
}

impl Registry {
    /// An empty registry; `prefix` goes before every name.
    pub fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            families: prometheus::Registry::new(),
        }
    }

    /// A value that goes up and down.
    pub fn gauge(&self, family: Family) -> IntGauge {
        self.keep(IntGauge::with_opts(self.options(family)))
    }

    /// Gauges by label; each row of `known` is on the page from the start.
    pub fn gauges(&self, family: Family, labels: &[&str], known: &[&[&str]]) -> IntGaugeVec {
        let gauges = self.keep(IntGaugeVec::new(self.options(family), labels));
        for row in known {
            drop(gauges.with_label_values(row));
        }
        gauges
    }

    /// A value that only grows.
    pub fn counter(&self, family: Family) -> IntCounter {
        self.keep(IntCounter::with_opts(self.options(family)))
    }

    /// Counters by label; each row of `known` is on the page from the start.
    pub fn counters(&self, family: Family, labels: &[&str], known: &[&[&str]]) -> IntCounterVec {
        let counters = self.keep(IntCounterVec::new(self.options(family), labels));
        for row in known {
            drop(counters.with_label_values(row));
        }
        counters
    }

    /// A distribution.
    pub fn histogram(&self, family: Family, buckets: &[f64]) -> Histogram {
        self.keep(Histogram::with_opts(self.buckets(family, buckets)))
    }

    /// Distributions by label; each row of `known` is on the page from the start.
    pub fn histograms(
        &self,
        family: Family,
        buckets: &[f64],
        labels: &[&str],
        known: &[&[&str]],
    ) -> HistogramVec {
        let histograms = self.keep(HistogramVec::new(self.buckets(family, buckets), labels));
        for row in known {
            drop(histograms.with_label_values(row));
        }
        histograms
    }

    /// The page: every family of this registry and of the process, in Go's text format.
    pub fn page(&self) -> String {
        let mut page = text::encode(&self.families.gather());
        process::append(&mut page);
        page
    }

    fn options(&self, Family(name, help): Family) -> Opts {
        Opts::new(format!("{}{name}", self.prefix), help)
    }

    fn buckets(&self, family: Family, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::from(self.options(family)).buckets(buckets.to_vec())
    }

    fn keep<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect(STATIC);
        self.families
            .register(Box::new(collector.clone()))
            .expect(STATIC);
        collector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_written_as_go_writes_it() {
        let registry = Registry::new("warren_");
        let durations = registry.histogram(Family("wait_seconds", "Waits."), &[1e-6, 0.005, 12.5]);
        durations.observe(0.001);
        durations.observe(86_400.0);
        let failures = registry.counters(
            Family("dial_failure_count", "Why dials\nfail \\ end."),
            &["reason"],
            &[&["no_agent"], &["a\"b\n\\"]],
        );
        failures.with_label_values(&["no_agent"]).inc_by(1_234_567);
        registry.gauge(Family("open", "Open.")).set(-3);
        insta::assert_snapshot!(text::encode(&registry.families.gather()), @r#"
        # HELP warren_dial_failure_count Why dials\nfail \\ end.
        # TYPE warren_dial_failure_count counter
        warren_dial_failure_count{reason="a\"b\n\\"} 0
        warren_dial_failure_count{reason="no_agent"} 1.234567e+06
        # HELP warren_open Open.
        # TYPE warren_open gauge
        warren_open -3
        # HELP warren_wait_seconds Waits.
        # TYPE warren_wait_seconds histogram
        warren_wait_seconds_bucket{le="1e-06"} 0
        warren_wait_seconds_bucket{le="0.005"} 1
        warren_wait_seconds_bucket{le="12.5"} 1
        warren_wait_seconds_bucket{le="+Inf"} 2
        warren_wait_seconds_sum 86400.001
        warren_wait_seconds_count 2
        "#);
    }

    #[test]
    fn the_page_ends_with_the_process() {
        let page = Registry::new("x_").page();
        for name in [
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_max_fds",
        ] {
            assert!(page.contains(&format!("\n{name} ")), "{name} in {page}");
        }
    }
}
