//! One object that a tenant is to have, whatever its kind.
//!
//! Builders make typed Kubernetes objects; [`TenantObject::new`] labels them, adds a checksum of what we want, and
//! forgets the type. The checksum tells a later pass that something we once wanted is no longer wanted, which the
//! live object alone cannot tell from somebody else's addition.

use std::fmt;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::labels;

/// The annotation of an editable [`TenantObject`] that remembers which content we wrote, so that an edit shows.
pub const WRITTEN: &str = "kamaji.clastix.io/written-checksum";

/// An object a tenant is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantObject {
    /// Its kind.
    pub resource: ApiResource,
    /// What we want of it, and nothing else.
    pub object: DynamicObject,
    /// Who decides about its content after it was made.
    pub content: Content,
}

/// Who decides about an object's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// We do: what differs is put back.
    Ours,
    /// The user may edit `data` under this key; from then on we leave it as it is.
    Editable {
        /// The key in `data`.
        key: &'static str,
    },
    /// The user, or an autoscaler, decides about `spec.replicas` once the object is there.
    Scalable,
}

/// What an object is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Kind, in the singular, as manifests spell it.
    pub kind: String,
    /// Empty for cluster-wide objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of a live object of the kind `resource`.
    pub fn of(resource: &ApiResource, object: &DynamicObject) -> Self {
        Self {
            kind: resource.kind.clone(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

impl TenantObject {
    /// Takes a typed object as the user would write it, and makes it ours.
    ///
    /// # Panics
    /// When the type serializes to something other than JSON with metadata, which no Kubernetes type does.
    pub fn new<K>(component: &str, mut typed: K) -> Self
    where
        K: Resource<DynamicType = ()> + Metadata<Ty = ObjectMeta> + Serialize,
    {
        let owned = [
            (labels::PROJECT, labels::PROJECT_VALUE),
            (labels::COMPONENT, component),
        ];
        let found = Metadata::metadata_mut(&mut typed)
            .labels
            .get_or_insert_default();
        found.extend(owned.map(|(label, value)| (label.to_owned(), value.to_owned())));
        let value = serde_json::to_value(&typed).expect("Kubernetes types are JSON");
        let object = serde_json::from_value(value).expect("every Kubernetes object has metadata");
        Self {
            resource: ApiResource::erase::<K>(&()),
            object,
            content: Content::Ours,
        }
        .sealed()
    }

    /// Lets the user edit `data` under `key` once the object is there.
    #[must_use]
    pub fn editable(mut self, key: &'static str) -> Self {
        if let Some(text) = content_of(&self.object, key) {
            let written = checksum(&Value::String(text.to_owned()));
            self.annotate(WRITTEN, written);
        }
        self.content = Content::Editable { key };
        self.sealed()
    }

    /// Leaves the number of replicas to others once the object is there.
    #[must_use]
    pub fn scalable(mut self) -> Self {
        self.content = Content::Scalable;
        self
    }

    /// What it is found by.
    pub fn key(&self) -> Key {
        Key::of(&self.resource, &self.object)
    }

    /// The part of the tenant it belongs to.
    pub fn component(&self) -> &str {
        let held = self.object.metadata.labels.as_ref();
        held.and_then(|all| all.get(labels::COMPONENT))
            .map_or("", String::as_str)
    }

    /// Sets an annotation.
    pub fn annotate(&mut self, name: &str, value: String) {
        self.object
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(name.to_owned(), value);
    }

    /// Writes the checksum of everything else into the object.
    ///
    /// # Panics
    /// When the object does not serialize to JSON, which every object does.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        let annotations = self.object.metadata.annotations.get_or_insert_default();
        annotations.remove(labels::CHECKSUM);
        let value = serde_json::to_value(&self.object).expect("Kubernetes types are JSON");
        let sum = checksum(&value);
        self.annotate(labels::CHECKSUM, sum);
        self
    }
}

/// The text under `key` in an object's `data`.
pub fn content_of<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    object.data.get("data")?.get(key)?.as_str()
}

/// A short digest of a JSON value, the same for equal values.
///
/// # Panics
/// Never: strings take every character.
pub fn checksum(value: &Value) -> String {
    use std::fmt::Write as _;

    let digest = Sha256::digest(value.to_string());
    digest
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("strings take everything");
            text
        })
}
