//! Step 5a inside a tenant: what has to be written, given what is there. Pure.
//!
//! An object is left alone when it carries the checksum of what we want and everything we want is in it. A write
//! per pass would cost every tenant a hundred requests an hour and wake every watcher there; this costs none.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject, TypeMeta};
use serde_json::Value;

use super::build::is_optional;
use super::object::{Content, Key, TenantObject, WRITTEN, checksum, content_of};
use crate::labels;

/// The objects with our label that a tenant has.
#[derive(Debug, Clone, Default)]
pub struct Live {
    objects: BTreeMap<Key, (ApiResource, DynamicObject)>,
}

impl Live {
    /// Takes one up. Items of a list do not say what they are.
    pub fn insert(&mut self, resource: ApiResource, mut object: DynamicObject) {
        object.types = Some(TypeMeta {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
        });
        let key = Key::of(&resource, &object);
        self.objects.insert(key, (resource, object));
    }

    /// The object of that name, when it carries our label.
    pub fn get(&self, key: &Key) -> Option<&DynamicObject> {
        self.objects.get(key).map(|(_, object)| object)
    }
}

/// What is to be done in one tenant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// To be applied, in this order.
    pub apply: Vec<TenantObject>,
    /// To be deleted after that.
    pub delete: Vec<(ApiResource, Key)>,
    /// Leases of konnectivity-servers to be deleted last, when nobody can renew them any more.
    pub forget: Vec<String>,
}

impl Plan {
    /// Whether the tenant is as it should be.
    pub fn is_empty(&self) -> bool {
        self.apply.is_empty() && self.delete.is_empty() && self.forget.is_empty()
    }
}

/// Compares what is wanted with what is there.
pub fn plan(wanted: Vec<TenantObject>, live: &Live) -> Plan {
    let keys: Vec<Key> = wanted.iter().map(TenantObject::key).collect();
    let superfluous = live
        .objects
        .iter()
        .filter(|(key, _)| is_optional(key) && !keys.contains(key));
    let delete = superfluous
        .map(|(key, (resource, _))| (resource.clone(), key.clone()))
        .collect();
    let apply = wanted.into_iter().filter_map(|object| {
        let found = live.get(&object.key());
        let object = match found {
            Some(found) => respecting(object, found),
            None => object,
        };
        let current = found.is_some_and(|found| is_current(&object, found));
        (!current).then_some(object)
    });
    Plan {
        apply: apply.collect(),
        delete,
        forget: Vec::new(),
    }
}

/// Takes back what others have decided about the object since we made it.
fn respecting(mut wanted: TenantObject, found: &DynamicObject) -> TenantObject {
    match wanted.content {
        Content::Ours => wanted,
        Content::Scalable => {
            if let (Some(replicas), Some(spec)) = (
                found.data.pointer("/spec/replicas"),
                wanted.object.data.get_mut("spec"),
            ) {
                spec["replicas"] = replicas.clone();
            }
            wanted
        }
        Content::Editable { key } => {
            let written = found
                .metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(WRITTEN));
            let content = content_of(found, key);
            let sum = content.map(|text| checksum(&Value::String(text.to_owned())));
            let ours = content == content_of(&wanted.object, key);
            let edited = content.is_some() && !ours && sum.as_ref() != written;
            if !edited {
                return wanted;
            }
            // Left out, the content stays with whoever wrote it: our claim on it ended with that write.
            if let Some(data) = wanted
                .object
                .data
                .get_mut("data")
                .and_then(Value::as_object_mut)
            {
                data.remove(key);
            }
            wanted.annotate(WRITTEN, written.cloned().unwrap_or_default());
            wanted.sealed()
        }
    }
}

/// Whether the live object was written for exactly this wish and still fulfils it.
pub fn is_current(wanted: &TenantObject, found: &DynamicObject) -> bool {
    let sum = |object: &DynamicObject| {
        object
            .metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(labels::CHECKSUM))
            .cloned()
    };
    let as_json = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
    sum(&wanted.object) == sum(found) && is_within(&as_json(&wanted.object), &as_json(found))
}

/// Whether everything in `wanted` is in `found`; lists have to be of one length, empty means absent.
fn is_within(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().all(|(key, value)| {
            found
                .get(key)
                .map_or_else(|| is_empty(value), |found| is_within(value, found))
        }),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .zip(found)
                    .all(|(wanted, found)| is_within(wanted, found))
        }
        (Value::Null, _) => true,
        (
            Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => wanted == found,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
