//! The `PodDisruptionBudget`: a drained node takes one control-plane pod at a time.
//!
//! It counts what may be missing, not what must be there, so that a single replica never blocks a drain for ever.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::labels;
use crate::tenant_control_plane::control_plane::ControlPlane;

use super::metadata;

pub(super) fn build(control_plane: &ControlPlane) -> PodDisruptionBudget {
    let name = control_plane.names.name();
    PodDisruptionBudget {
        metadata: metadata::of(
            control_plane,
            name.to_owned(),
            labels::COMPONENT_DISRUPTION_BUDGET,
        ),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(labels::label_selector(name)),
            // A pod that does not serve is in nobody's way.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
