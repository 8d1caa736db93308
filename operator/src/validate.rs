//! The rules that a manifest must keep, as far as the manifest alone can tell.
//!
//! In: an object, what it was before, and what the management cluster allows. Out: a [`Review`]
//! with every mistake at once, each with field, value and remedy, and what deserves a warning. The
//! reconciler and the admission webhook both ask here: one rule book. Nothing here reads a cluster,
//! a clock or a file.

use std::fmt;
use std::ops::RangeInclusive;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::{ConditionType, DataStore, Finding, Reason, TenantControlPlane, unsupported};

mod addons;
mod arguments;
mod data_store;
mod deployment;
mod edit;
mod kubernetes;
mod network;
mod ports;
mod store_names;
mod syntax;

pub use arguments::{Component, is_managed};
pub use store_names::mistake as store_name_mistake;

/// One rule that the manifest breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Path of the field, from the root of the object.
    pub field: String,
    /// What stands there.
    pub value: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.field, self.value, self.message)
    }
}

/// What a manifest may say, though it probably means something else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// Path of the field, from the root of the object.
    pub field: String,
    /// What happens, and what to do.
    pub message: String,
    /// The word for it in a condition.
    pub reason: Reason,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What the management cluster allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Ports that a Service of type NodePort may have.
    pub node_ports: RangeInclusive<i32>,
}

impl Default for Limits {
    /// What kube-apiserver has unless told otherwise.
    fn default() -> Self {
        Self {
            node_ports: 30000..=32767,
        }
    }
}

/// Everything found in one manifest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Review {
    /// Broken rules; the manifest is not carried out while there is one.
    pub violations: Vec<Violation>,
    /// What is carried out, with a warning.
    pub warnings: Vec<Warning>,
}

impl Review {
    /// Whether the manifest may be carried out.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Every mistake in one text, for a condition or a refusal.
    pub fn explain(&self) -> String {
        self.violations
            .iter()
            .map(Violation::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Conditions that repeat the warnings, for as long as the spec deserves them. A type that is
    /// not among them does not apply: take it out of the status.
    pub fn advisories(&self) -> Vec<Finding> {
        [
            (ConditionType::FieldsIgnored, Reason::NotActedOn),
            (ConditionType::EgressUnstated, Reason::EgressUnstated),
        ]
        .into_iter()
        .filter_map(|(condition, reason)| {
            let said: Vec<String> = self
                .warnings
                .iter()
                .filter(|warning| warning.reason == reason)
                .map(Warning::to_string)
                .collect();
            (!said.is_empty()).then(|| Finding::yes(condition, reason, said.join("; ")))
        })
        .collect()
    }

    fn refuse(
        &mut self,
        field: impl Into<String>,
        value: impl fmt::Display,
        message: impl Into<String>,
    ) {
        self.violations.push(Violation {
            field: field.into(),
            value: value.to_string(),
            message: message.into(),
        });
    }

    fn warn(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Warning {
            field: field.into(),
            message: message.into(),
            reason,
        });
    }
}

/// Looks at a tenant control plane; `before` is what an update replaces.
pub fn tenant_control_plane(
    object: &TenantControlPlane,
    before: Option<&TenantControlPlane>,
    limits: &Limits,
) -> Review {
    let mut review = Review::default();
    name(object, &mut review);
    kubernetes::review(&object.spec.kubernetes, &mut review);
    network::review(&object.spec, &mut review);
    ports::review(&object.spec, limits, &mut review);
    deployment::review(&object.spec.control_plane.deployment, &mut review);
    addons::review(&object.spec, &mut review);
    arguments::review(&object.spec, &mut review);
    store_names::review(&object.spec, &mut review);
    edit::review(object, before, &mut review);
    for ignored in unsupported::ignored_fields(&object.spec) {
        review.warn(Reason::NotActedOn, ignored.field, ignored.message);
    }
    review
}

/// Looks at a store; `before` is what an update replaces.
pub fn data_store(object: &DataStore, before: Option<&DataStore>) -> Review {
    let mut review = Review::default();
    data_store::review(&object.spec, before.map(|before| &before.spec), &mut review);
    review
}

/// The Service carries the name, and Services are DNS-1035 labels.
fn name(object: &TenantControlPlane, review: &mut Review) {
    let ObjectMeta {
        name,
        generate_name,
        ..
    } = &object.metadata;
    let name = name
        .clone()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| {
            // Letters are put behind it.
            format!("{}x", generate_name.as_deref().unwrap_or_default())
        });
    if !syntax::is_dns_1035_label(&name) {
        review.refuse(
            "metadata.name",
            name,
            "becomes the name of a Service; use at most 63 lower-case letters, digits and hyphens, \
             the first a letter and the last no hyphen",
        );
    }
}

#[cfg(test)]
mod tests;
