//! Probes: over HTTPS for what serves it, with timings the user may change, for all or for one.
//!
//! Start-up is given three minutes, for a control plane on a busy machine needs more than the half minute that three
//! failures of ten seconds allow. Liveness waits for six failures, so that a store which is slow for half a minute does
//! not cost the pods their caches.

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::api::tenant_control_plane::{ProbeSet, ProbeTiming, Probes};

/// Where a program tells how it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    pub(super) port: u16,
    pub(super) scheme: &'static str,
    pub(super) startup: &'static str,
    pub(super) liveness: &'static str,
    pub(super) readiness: Option<&'static str>,
}

/// The three probes of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct ContainerProbes {
    pub(super) startup: Option<Probe>,
    pub(super) liveness: Option<Probe>,
    pub(super) readiness: Option<Probe>,
}

/// Timings of ours: timeout, period, failures.
struct Timing(i32, i32, i32);

const STARTUP: Timing = Timing(5, 2, 90);
const LIVENESS: Timing = Timing(10, 10, 6);
const READINESS: Timing = Timing(5, 5, 3);

/// The probes of a container; a component's own timing wins over the one for all.
pub(super) fn of(health: Health, all: &Probes, own: Option<ProbeSet>) -> ContainerProbes {
    let own = own.unwrap_or_default();
    let probe =
        |path, timing, theirs: [Option<ProbeTiming>; 2]| probe(health, path, &timing, theirs);
    ContainerProbes {
        startup: Some(probe(health.startup, STARTUP, [all.startup, own.startup])),
        liveness: Some(probe(
            health.liveness,
            LIVENESS,
            [all.liveness, own.liveness],
        )),
        readiness: health
            .readiness
            .map(|path| probe(path, READINESS, [all.readiness, own.readiness])),
    }
}

fn probe(health: Health, path: &str, ours: &Timing, theirs: [Option<ProbeTiming>; 2]) -> Probe {
    let Timing(timeout, period, failures) = *ours;
    let [all, own] = theirs.map(Option::unwrap_or_default);
    let either = |get: fn(ProbeTiming) -> Option<i32>| get(own).or_else(|| get(all));
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(health.port)),
            scheme: Some(health.scheme.to_owned()),
            ..HTTPGetAction::default()
        }),
        initial_delay_seconds: either(|timing| timing.initial_delay_seconds),
        timeout_seconds: Some(either(|timing| timing.timeout_seconds).unwrap_or(timeout)),
        period_seconds: Some(either(|timing| timing.period_seconds).unwrap_or(period)),
        success_threshold: either(|timing| timing.success_threshold),
        failure_threshold: Some(either(|timing| timing.failure_threshold).unwrap_or(failures)),
        ..Probe::default()
    }
}
