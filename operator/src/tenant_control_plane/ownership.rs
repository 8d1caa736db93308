//! Whose an object is that bears one of our names. Pure.
//!
//! In: its head, and the tenant control plane. Out: [`Holder`]. A name proves nothing: what may be changed or deleted is
//! what the custom resource controls, or what carries its label and is controlled by nobody.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::labels;

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Holder<'a> {
    /// The custom resource's.
    Ours,
    /// Nobody's, with the label of the custom resource: to be adopted.
    Orphan,
    /// Nobody's, without that label.
    Unmarked,
    /// Another controller's.
    Other(&'a OwnerReference),
}

impl<'a> Holder<'a> {
    /// Looks at the head of an object; `uid` and `name` are the custom resource's.
    pub fn of(metadata: &'a ObjectMeta, uid: &str, name: &str) -> Self {
        let owners = metadata.owner_references.as_deref().unwrap_or_default();
        let label = || metadata.labels.as_ref()?.get(labels::NAME);
        match owners.iter().find(|owner| owner.controller == Some(true)) {
            Some(owner) if owner.uid == uid => Self::Ours,
            Some(owner) => Self::Other(owner),
            None if label().is_some_and(|label| label == name) => Self::Orphan,
            None => Self::Unmarked,
        }
    }

    /// Whether the custom resource may change and delete it.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::Orphan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_controller_counts_before_the_label_and_a_name_for_nothing() {
        let owner = |uid: &str, controller: bool| json!([{"apiVersion": "v1", "kind": "Database", "name": "db", "uid": uid, "controller": controller}]);
        let (label, other) = (
            json!({labels::NAME: "alpha"}),
            json!({labels::NAME: "beta"}),
        );
        for (head, ours) in [
            (json!({"name": "alpha"}), false),
            (json!({"name": "alpha", "labels": label}), true),
            (json!({"name": "alpha", "labels": other}), false),
            (json!({"ownerReferences": owner("1", true)}), true),
            (
                json!({"labels": label, "ownerReferences": owner("2", true)}),
                false,
            ),
            (
                json!({"labels": label, "ownerReferences": owner("2", false)}),
                true,
            ),
        ] {
            let metadata: ObjectMeta = serde_json::from_value(head.clone()).unwrap();
            assert_eq!(
                Holder::of(&metadata, "1", "alpha").is_ours(),
                ours,
                "{head}"
            );
        }
    }
}
