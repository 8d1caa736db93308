//! Rules about the version, the admission plugins and the kubelet's patches.
//!
//! In: `spec.kubernetes`. Out: what breaks a rule.

use super::Review;
use crate::api::Reason;
use crate::api::tenant_control_plane::{JsonPatch, JsonPatchOperation, KubernetesSpec};
use crate::version::{SUPPORTED_MINORS, Version};

/// Plugins that no served version of kube-apiserver knows any more, with what does their work.
const GONE_PLUGINS: &[(&str, u32, &str)] = &[
    ("DenyEscalatingExec", 0, "use PodSecurity"),
    ("DenyExecOnPrivileged", 0, "use PodSecurity"),
    (
        "PersistentVolumeLabel",
        31,
        "the cloud provider's own controller labels volumes",
    ),
    ("PodSecurityPolicy", 0, "use PodSecurity"),
    ("SecurityContextDeny", 0, "use PodSecurity"),
];

pub(super) fn review(spec: &KubernetesSpec, review: &mut Review) {
    let version = Version::parse_supported(&spec.version);
    if let Err(error) = &version {
        review.refuse("spec.kubernetes.version", &spec.version, error.to_string());
    }
    let minor = version
        .as_ref()
        .map_or(*SUPPORTED_MINORS.end(), Version::minor);
    plugins(spec, minor, review);
    for (index, patch) in spec.kubelet.configuration_json_patches.iter().enumerate() {
        kubelet_patch(
            &format!("spec.kubernetes.kubelet.configurationJSONPatches[{index}]"),
            patch,
            review,
        );
    }
    let mut seen = Vec::new();
    for (index, kind) in spec.kubelet.preferred_address_types.iter().enumerate() {
        if seen.contains(kind) {
            let field = format!("spec.kubernetes.kubelet.preferredAddressTypes[{index}]");
            review.refuse(field, kind.as_str(), "is there twice; remove one");
        }
        seen.push(*kind);
    }
    if spec.kubelet.preferred_address_types.is_empty() {
        let field = "spec.kubernetes.kubelet.preferredAddressTypes";
        review.refuse(
            field,
            "[]",
            "kube-apiserver must know one; name InternalIP, or remove the field",
        );
    }
}

fn plugins(spec: &KubernetesSpec, minor: u32, review: &mut Review) {
    for (index, name) in spec.admission_controllers.iter().enumerate() {
        let field = format!("spec.kubernetes.admissionControllers[{index}]");
        let gone = GONE_PLUGINS
            .iter()
            .find(|(gone, since, _)| gone == name && minor >= *since);
        if let Some((_, _, instead)) = gone {
            let message = format!(
                "kube-apiserver {} has no such plugin and would not start; {instead}",
                spec.version
            );
            review.refuse(field, name, message);
        } else if spec
            .admission_controllers
            .iter()
            .take(index)
            .any(|earlier| earlier == name)
        {
            review.warn(
                Reason::Redundant,
                field,
                format!("{name} is there twice; remove one"),
            );
        }
    }
}

fn kubelet_patch(field: &str, patch: &JsonPatch, review: &mut Review) {
    use JsonPatchOperation::{Add, Copy, Move, Remove, Replace, Test};
    if !is_pointer(&patch.path) {
        let message = "is no JSON pointer; write one such as /cgroupDriver, with ~1 for / and ~0 for ~ in a key";
        review.refuse(format!("{field}.path"), &patch.path, message);
    }
    match patch.op {
        Move | Copy if !patch.from.as_deref().is_some_and(is_pointer) => {
            let from = patch.from.clone().unwrap_or_default();
            review.refuse(
                format!("{field}.from"),
                from,
                "move and copy need a JSON pointer to take from",
            );
        }
        Add | Replace | Test if patch.value.is_none() => {
            review.refuse(
                format!("{field}.value"),
                "",
                "add, replace and test need a value",
            );
        }
        Add | Copy | Move | Remove | Replace | Test => {}
    }
    if matches!(patch.path.as_str(), "/apiVersion" | "/kind") {
        let message = "says what the document is, and kubelets refuse another; remove the patch";
        review.refuse(format!("{field}.path"), &patch.path, message);
    }
}

/// RFC 6901: empty, or parts that each begin with a slash; a tilde stands only before 0 or 1.
fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/'))
        && text
            .split('~')
            .skip(1)
            .all(|rest| rest.starts_with(['0', '1']))
}
