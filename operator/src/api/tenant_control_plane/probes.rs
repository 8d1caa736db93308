//! Timings of the probes of the control plane's containers.
//!
//! In: `spec.controlPlane.deployment.probes`. Out: the same as types; a component's own value wins
//! over the one for all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Probe timings, for all components and for each.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Liveness of every component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<ProbeTiming>,

    /// Readiness of every component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ProbeTiming>,

    /// Start-up of every component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<ProbeTiming>,

    /// kube-apiserver alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ProbeSet>,

    /// kube-controller-manager alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_manager: Option<ProbeSet>,

    /// kube-scheduler alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<ProbeSet>,
}

/// Probe timings of one component.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeSet {
    /// Liveness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<ProbeTiming>,

    /// Readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ProbeTiming>,

    /// Start-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<ProbeTiming>,
}

/// Timings of one probe; what is unset keeps our value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeTiming {
    /// Seconds from the start of the container to the first probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub initial_delay_seconds: Option<i32>,

    /// Seconds after which a probe has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: Option<i32>,

    /// Seconds between probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub period_seconds: Option<i32>,

    /// Successes in a row that make it good again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub success_threshold: Option<i32>,

    /// Failures in a row that make it bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub failure_threshold: Option<i32>,
}
