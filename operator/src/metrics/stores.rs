//! The series about stores. In: what the last pass over a store found. Out: its lines, none of an earlier pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::GaugeVec;

use super::{Readiness, gauges};

/// What is known of one store for its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLine {
    /// Its driver, as the spec spells it.
    pub driver: &'static str,
    /// Whether its spec can be used.
    pub valid: Validity,
    /// Whether tenants can be served from it.
    pub ready: Readiness,
}

/// Whether a spec can be used: the status of Kamaji's validation condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It can.
    Valid,
    /// It cannot.
    Invalid,
}

impl Validity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "True",
            Self::Invalid => "False",
        }
    }
}

/// The series.
#[derive(Debug)]
pub(super) struct Stores {
    info: GaugeVec,
    status: GaugeVec,
    current: GaugeVec,
    lines: Mutex<BTreeMap<String, StoreLine>>,
}

impl Stores {
    pub(super) fn new() -> Self {
        Self {
            info: gauges(
                "kamaji_datastore_info",
                "What each DataStore is.",
                &["datastore_name", "driver"],
            ),
            status: gauges(
                "kamaji_datastore_status",
                "State of each DataStore.",
                &["datastore_name", "status", "ready"],
            ),
            current: gauges(
                "kamaji_datastores_current",
                "DataStores.",
                &["datastore_name", "ready", "driver"],
            ),
            lines: Mutex::default(),
        }
    }

    pub(super) fn vectors(&self) -> [&GaugeVec; 3] {
        [&self.info, &self.status, &self.current]
    }

    pub(super) fn replace(&self, name: &str, line: StoreLine) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = lines.insert(name.to_owned(), line) {
            self.remove(name, former);
        }
        for (vector, labels) in self.vectors().iter().zip(labels(name, line)) {
            vector.with_label_values(&labels).set(1.0);
        }
    }

    pub(super) fn forget(&self, name: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = lines.remove(name) {
            self.remove(name, former);
        }
    }

    fn remove(&self, name: &str, former: StoreLine) {
        for (vector, labels) in self.vectors().iter().zip(labels(name, former)) {
            // An error says that there is no such line, which is what is wanted.
            let _absent = vector.remove_label_values(&labels);
        }
    }
}

/// The values of the labels, in the order of [`Stores::vectors`].
fn labels(name: &str, line: StoreLine) -> [Vec<&str>; 3] {
    let ready = line.ready.as_str();
    [
        vec![name, line.driver],
        vec![name, line.valid.as_str(), ready],
        vec![name, ready, line.driver],
    ]
}
