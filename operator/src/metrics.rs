//! What Prometheus reads: passes of the controllers, and one line per tenant and store, under Kamaji's names.
//!
//! Each line is replaced when its own object is reconciled, never by walking over all of them, so a scrape has no
//! gaps and an update costs the same with one tenant as with a thousand.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use tokio::time::Instant;

mod certificates;
mod stores;

use certificates::Certificates;
pub use certificates::{Counts, Strategy};
use stores::Stores;
pub use stores::{StoreLine, Validity};

/// Labels of a tenant's info line.
const INFO: [&str; 6] = [
    "tcp_namespace",
    "tcp_name",
    "kubernetes_version",
    "datastore_driver",
    "address",
    "exposure_strategy",
];

/// Labels of a tenant's state line.
const STATUS: [&str; 4] = ["tcp_namespace", "tcp_name", "status", "ready"];

/// What is known of one tenant for its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantLine {
    /// Namespace of the `TenantControlPlane`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Kubernetes version that serves.
    pub version: String,
    /// Driver of its store.
    pub driver: String,
    /// Where it is reached.
    pub address: String,
    /// Type of its Service.
    pub exposure: String,
    /// The legacy word for its state.
    pub status: String,
    /// Whether its `Ready` condition is true.
    pub ready: Readiness,
}

/// A yes or no that reads as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can be used.
    Ready,
    /// It cannot.
    NotReady,
}

impl Readiness {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "true",
            Self::NotReady => "false",
        }
    }
}

/// All series of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    passes: IntCounterVec,
    duration: HistogramVec,
    tenant_info: GaugeVec,
    tenant_status: GaugeVec,
    tenants: GaugeVec,
    stores: Stores,
    certificates: Certificates,
    renewal: GaugeVec,
    lines: Mutex<BTreeMap<(String, String), TenantLine>>,
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    GaugeVec::new(Opts::new(name, help), labels)
        .expect("name and labels are constants that Prometheus takes")
}

fn passes() -> IntCounterVec {
    let help = "Passes over one object, by controller and what they came to.";
    IntCounterVec::new(
        Opts::new("warren_reconcile_total", help),
        &["controller", "outcome"],
    )
    .expect("name and labels are constants that Prometheus takes")
}

fn duration() -> HistogramVec {
    let options = HistogramOpts::new(
        "kamaji_handler_time_seconds",
        "Time of one pass over one object.",
    );
    HistogramVec::new(options, &["handler"])
        .expect("name and labels are constants that Prometheus takes")
}

impl Metrics {
    /// Creates and registers every series.
    ///
    /// # Panics
    /// Never: names and labels are constants that Prometheus takes, as the tests of this room show.
    #[must_use]
    pub fn new() -> Self {
        let tenant = ["tcp_namespace", "tcp_name"];
        let metrics = Self {
            registry: Registry::new(),
            passes: passes(),
            duration: duration(),
            tenant_info: gauges(
                "kamaji_tenant_control_plane_info",
                "Each tenant control plane.",
                &INFO,
            ),
            tenant_status: gauges(
                "kamaji_tenant_control_plane_status",
                "State of each tenant control plane.",
                &STATUS,
            ),
            tenants: gauges(
                "kamaji_tenant_control_planes_current",
                "Tenant control planes.",
                &["ready"],
            ),
            stores: Stores::new(),
            certificates: Certificates::new(),
            renewal: gauges(
                "warren_next_renewal_timestamp_seconds",
                "When the next certificate is renewed.",
                &tenant,
            ),
            lines: Mutex::default(),
        };
        let build = gauges("kamaji_build_info", "The program that runs.", &["version"]);
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        metrics.register(build);
        metrics.register(metrics.passes.clone());
        metrics.register(metrics.duration.clone());
        for vector in [
            &metrics.tenant_info,
            &metrics.tenant_status,
            &metrics.tenants,
            &metrics.renewal,
            metrics.certificates.vector(),
        ] {
            metrics.register(vector.clone());
        }
        for vector in metrics.stores.vectors() {
            metrics.register(vector.clone());
        }
        for ready in [Readiness::Ready, Readiness::NotReady] {
            metrics
                .tenants
                .with_label_values(&[ready.as_str()])
                .set(0.0);
        }
        metrics
    }

    fn register(&self, collector: impl Collector + 'static) {
        self.registry
            .register(Box::new(collector))
            .expect("every series is registered once, under its own name");
    }

    /// Starts to measure one pass; the measurement ends when the value is dropped.
    pub fn measure(&self, controller: &'static str) -> Measured<'_> {
        Measured {
            metrics: self,
            controller,
            outcome: "cancelled",
            started: Instant::now(),
        }
    }

    /// Replaces the lines of one tenant.
    pub fn tenant(&self, line: &TenantLine, next_renewal: Option<i64>) {
        let key = (line.namespace.clone(), line.name.clone());
        let renewals = self
            .renewal
            .with_label_values(&[key.0.as_str(), key.1.as_str()]);
        // Seconds since 1970 fit a double exactly for the next 200 million years.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        renewals.set(next_renewal.unwrap_or_default() as f64);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let former = lines.insert(key, line.clone());
        if former.as_ref() == Some(line) {
            return;
        }
        if let Some(former) = former {
            self.forget_lines(&former);
        }
        self.tenant_info.with_label_values(&info(line)).set(1.0);
        self.tenant_status.with_label_values(&status(line)).set(1.0);
        self.tenants.with_label_values(&[line.ready.as_str()]).inc();
    }

    /// Removes the lines of a tenant that is gone.
    pub fn forget_tenant(&self, namespace: &str, name: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = lines.remove(&(namespace.to_owned(), name.to_owned())) {
            self.forget_lines(&former);
        }
        self.certificates.forget(namespace, name);
        // An error says that there is no such line, which is what is wanted.
        let _absent = self.renewal.remove_label_values(&[namespace, name]);
    }

    /// Replaces the counts of one tenant's certificates.
    pub fn certificates(&self, namespace: &str, name: &str, counts: &Counts) {
        self.certificates.replace(namespace, name, counts);
    }

    /// Replaces the lines of one store.
    pub fn store(&self, name: &str, line: StoreLine) {
        self.stores.replace(name, line);
    }

    /// Removes the lines of a store that is gone.
    pub fn forget_store(&self, name: &str) {
        self.stores.forget(name);
    }

    fn forget_lines(&self, former: &TenantLine) {
        let _absent = self.tenant_info.remove_label_values(&info(former));
        let _absent = self.tenant_status.remove_label_values(&status(former));
        self.tenants
            .with_label_values(&[former.ready.as_str()])
            .dec();
    }

    /// Everything, as Prometheus reads it.
    pub fn page(&self) -> String {
        let mut page = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            tracing::error!(%error, "metrics cannot be written");
        }
        String::from_utf8(page).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn info(line: &TenantLine) -> [&str; 6] {
    [
        &line.namespace,
        &line.name,
        &line.version,
        &line.driver,
        &line.address,
        &line.exposure,
    ]
}

fn status(line: &TenantLine) -> [&str; 4] {
    [
        &line.namespace,
        &line.name,
        &line.status,
        line.ready.as_str(),
    ]
}

/// One pass being measured.
#[derive(Debug)]
pub struct Measured<'a> {
    metrics: &'a Metrics,
    controller: &'static str,
    outcome: &'static str,
    started: Instant,
}

impl Measured<'_> {
    /// Says what the pass came to: a fixed word.
    pub fn outcome(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let Self {
            metrics,
            controller,
            outcome,
            started,
        } = self;
        metrics
            .passes
            .with_label_values(&[*controller, *outcome])
            .inc();
        metrics
            .duration
            .with_label_values(&[*controller])
            .observe(started.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
