//! Where a control plane is in its life: the legacy word of `version.status`, decided in the order in which Kamaji
//! decides it. Pure.

use k8s_openapi::api::apps::v1::Deployment;

use crate::api::tenant_control_plane_status::LifeStage;

/// What decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// Pods that the spec asks for.
    pub replicas: i32,
    /// The Deployment, if there is one.
    pub deployment: Option<&'a Deployment>,
    /// Version that served last.
    pub installed: Option<&'a str>,
    /// Version that the spec asks for.
    pub wanted: &'a str,
}

/// The word for it.
pub(super) fn stage(facts: Facts<'_>) -> LifeStage {
    if facts.replicas == 0 {
        return LifeStage::Sleeping;
    }
    let Some(deployment) = facts.deployment else {
        return LifeStage::Provisioning;
    };
    if ready(deployment) == 0 {
        return if facts.installed.is_none() {
            LifeStage::Provisioning
        } else {
            LifeStage::NotReady
        };
    }
    if is_rolled_out(deployment) {
        return LifeStage::Ready;
    }
    match facts.installed {
        None => LifeStage::Provisioning,
        Some(installed) if installed != facts.wanted => LifeStage::Upgrading,
        Some(_) => LifeStage::Unknown,
    }
}

/// Pods that serve.
pub(super) fn ready(deployment: &Deployment) -> i32 {
    deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default()
}

/// Whether every pod is of the newest template, serves, and none is left of an older one.
pub(super) fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let Some(status) = &deployment.status else {
        return false;
    };
    let seen = status.observed_generation.unwrap_or_default()
        >= deployment.metadata.generation.unwrap_or_default();
    seen && status.unavailable_replicas.unwrap_or_default() == 0
        && [
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
        ]
        .into_iter()
        .all(|count| count.unwrap_or_default() == wanted)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};

    use super::*;

    fn deployment(wanted: i32, updated: i32, ready: i32, all: i32) -> Deployment {
        Deployment {
            spec: Some(DeploymentSpec {
                replicas: Some(wanted),
                ..DeploymentSpec::default()
            }),
            status: Some(DeploymentStatus {
                replicas: Some(all),
                updated_replicas: Some(updated),
                ready_replicas: Some(ready),
                unavailable_replicas: Some(all - ready),
                ..DeploymentStatus::default()
            }),
            ..Deployment::default()
        }
    }

    fn named(replicas: i32, deployment: Option<&Deployment>, installed: Option<&str>) -> LifeStage {
        stage(Facts {
            replicas,
            deployment,
            installed,
            wanted: "v1.34.0",
        })
    }

    #[test]
    fn a_life_goes_through_these_stages() {
        let (new, serving) = (deployment(2, 0, 0, 2), deployment(2, 2, 2, 2));
        let (rolling, broken) = (deployment(2, 1, 2, 4), deployment(2, 2, 0, 2));
        assert_eq!(named(2, None, None), LifeStage::Provisioning);
        assert_eq!(named(2, Some(&new), None), LifeStage::Provisioning);
        assert_eq!(named(2, Some(&serving), None), LifeStage::Ready);
        assert_eq!(
            named(2, Some(&rolling), Some("v1.33.0")),
            LifeStage::Upgrading
        );
        assert_eq!(
            named(2, Some(&rolling), Some("v1.34.0")),
            LifeStage::Unknown
        );
        assert_eq!(
            named(2, Some(&broken), Some("v1.34.0")),
            LifeStage::NotReady
        );
        assert_eq!(
            named(0, Some(&serving), Some("v1.34.0")),
            LifeStage::Sleeping
        );
    }
}
