//! Name, labels and owner: the head of every object.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels;
use crate::tenant_control_plane::control_plane::ControlPlane;

/// The head of the object `name`, which is the given component.
pub(super) fn of(control_plane: &ControlPlane, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(control_plane.names.namespace().to_owned()),
        labels: Some(labels::of(control_plane.names.name(), component)),
        owner_references: Some(vec![control_plane.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Adds what the user wants added; ours wins, for objects are found by it.
pub(super) fn with_additional(
    mut metadata: ObjectMeta,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> ObjectMeta {
    metadata.labels = merged(metadata.labels, labels);
    metadata.annotations = merged(metadata.annotations, annotations);
    metadata
}

/// Adds one annotation.
pub(super) fn annotate(metadata: &mut ObjectMeta, key: &str, value: &str) {
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}

fn merged(
    ours: Option<BTreeMap<String, String>>,
    theirs: &BTreeMap<String, String>,
) -> Option<BTreeMap<String, String>> {
    let mut all = theirs.clone();
    all.extend(ours.unwrap_or_default());
    (!all.is_empty()).then_some(all)
}
