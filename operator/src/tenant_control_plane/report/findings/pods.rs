//! Why control-plane pods do not serve, in the words a person can act on. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;

use crate::api::condition::{ConditionType, Finding, Reason};
use crate::tenant_control_plane::Outcome;
use crate::tenant_control_plane::control_plane::{ControlPlane, Storage};
use crate::tenant_control_plane::report::stage::ready;

const AVAILABLE: ConditionType = ConditionType::ControlPlaneAvailable;

/// Whether pods serve.
pub(super) fn available(control_plane: &ControlPlane, outcome: &Outcome) -> Finding {
    let wanted = control_plane.pods.replicas;
    if wanted == 0 {
        let text = "scaled to 0; data, addresses and certificates are kept. Set spec.controlPlane.deployment.replicas to wake it";
        return Finding::no(AVAILABLE, Reason::Sleeping, text);
    }
    let applied = outcome
        .applied
        .as_ref()
        .and_then(|applied| applied.find::<Deployment>(control_plane.names.name()));
    let deployment = applied.or_else(|| outcome.observation.observed.deployment.clone());
    let Some(deployment) = deployment else {
        let missing = if control_plane.stage.endpoint().is_none() {
            "an endpoint: see EndpointReady"
        } else if control_plane.storage == Storage::Waiting {
            "a place in a DataStore: see DataStoreReady"
        } else {
            "the Deployment: see Progressing"
        };
        return Finding::no(
            AVAILABLE,
            Reason::WaitingForDependency,
            format!("pods wait for {missing}"),
        );
    };
    let serving = ready(&deployment);
    let trouble = trouble(&deployment, &outcome.observation.pods);
    match (serving > 0, trouble) {
        (true, None) => Finding::yes(
            AVAILABLE,
            Reason::AsExpected,
            format!("{serving} of {wanted} pods serve"),
        ),
        (true, Some((reason, why))) => Finding::yes(
            AVAILABLE,
            reason,
            format!("{serving} of {wanted} pods serve, yet {why}"),
        ),
        (false, Some((reason, why))) => Finding::no(AVAILABLE, reason, why),
        (false, None) => Finding::no(
            AVAILABLE,
            Reason::PodsNotReady,
            format!("none of {wanted} pods serves yet"),
        ),
    }
}

/// The first trouble, the one that explains the others first.
fn trouble(deployment: &Deployment, pods: &[Pod]) -> Option<(Reason, String)> {
    let find = |look: fn(&Pod) -> Option<String>, reason| {
        pods.iter().find_map(look).map(|why| (reason, why))
    };
    find(image_pull, Reason::ImagePullFailed)
        .or_else(|| find(crash, Reason::CrashLooping))
        .or_else(|| find(unschedulable, Reason::Unschedulable))
        .or_else(|| refused(deployment).map(|why| (Reason::PodsRefused, why)))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    let main = status.and_then(|status| status.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

fn waiting(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref()?,
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

fn image_pull(pod: &Pod) -> Option<String> {
    let reasons = [
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
    ];
    containers(pod).find_map(|container| {
        let (reason, message) = waiting(container).filter(|(reason, _)| reasons.contains(reason))?;
        Some(format!(
            "pod {} cannot pull image {} for {} ({reason}: {message}): check that the image exists and that nodes can reach its registry, see spec.kubernetes.version and spec.controlPlane.deployment.registrySettings, or the operator's --konnectivity-server-image",
            pod.name_any(),
            container.image,
            container.name,
        ))
    })
}

fn crash(pod: &Pod) -> Option<String> {
    containers(pod).find_map(|container| {
        let (reason, message) = waiting(container).filter(|(reason, _)| *reason == "CrashLoopBackOff")?;
        let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let code = ended.map(|ended| format!(", exit code {}", ended.exit_code)).unwrap_or_default();
        Some(format!(
            "container {name} of pod {pod} starts and ends again ({reason}{code}: {message}): look at `kubectl logs {pod} -c {name} --previous`, often an argument in extraArgs",
            name = container.name,
            pod = pod.name_any(),
        ))
    })
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    Some(format!(
        "no node takes pod {}: {}; look at nodeSelector, tolerations, affinity and resources under spec.controlPlane.deployment",
        pod.name_any(),
        condition
            .message
            .as_deref()
            .unwrap_or("the scheduler gives no reason"),
    ))
}

fn refused(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let message = condition.message.as_deref().unwrap_or("no reason is given");
    Some(format!(
        "the cluster refuses the pods: {message}; raise the quota of the namespace or adapt its policies"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "a-1" }, "status": status })).unwrap()
    }

    fn container(state: &serde_json::Value) -> serde_json::Value {
        json!({ "containerStatuses": [{
            "name": "kube-apiserver", "image": "registry.k8s.io/kube-apiserver:v1.33.99", "imageID": "", "ready": false,
            "restartCount": 0, "state": state,
        }]})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_with_the_fields_that_chose_it() {
        let pod = pod(&container(
            &json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } }),
        ));
        let (reason, why) = trouble(&Deployment::default(), &[pod]).unwrap();
        assert_eq!(reason, Reason::ImagePullFailed);
        assert!(
            why.contains("kube-apiserver:v1.33.99") && why.contains("registrySettings"),
            "{why}"
        );
    }

    #[test]
    fn a_container_that_ends_again_says_where_to_look() {
        let pod = pod(&container(
            &json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } }),
        ));
        let (reason, why) = trouble(&Deployment::default(), &[pod]).unwrap();
        assert_eq!(reason, Reason::CrashLooping);
        assert!(
            why.contains("kubectl logs a-1 -c kube-apiserver --previous"),
            "{why}"
        );
    }

    #[test]
    fn a_pod_that_no_node_takes_says_why() {
        let pod = pod(&json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available",
        }]}));
        let (reason, why) = trouble(&Deployment::default(), &[pod]).unwrap();
        assert_eq!(reason, Reason::Unschedulable);
        assert!(why.contains("0/1 nodes"), "{why}");
    }
}
