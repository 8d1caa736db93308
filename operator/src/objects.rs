//! A set of Kubernetes objects, and how far it has come.
//!
//! `Objects<Desired>` is what a build step hands to apply: bodies in the order they are to be applied, and the
//! optional ones that must not exist now. `Objects<Applied>` is what apply hands to report: what the API server
//! answered. The type parameter keeps anybody from reporting what was only wished for. Both controllers share it.

use k8s_openapi::NamespaceResourceScope;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How far a set of objects has come.
pub trait Progress {
    /// What is known of one object at this point.
    type Object: std::fmt::Debug;
}

/// Built by us; nobody else knows of it yet.
#[derive(Debug, Clone, Copy)]
pub enum Desired {}

/// Acknowledged by the API server.
#[derive(Debug, Clone, Copy)]
pub enum Applied {}

impl Progress for Desired {
    type Object = Object;
}

impl Progress for Applied {
    type Object = AppliedObject;
}

/// Which object is meant: enough to get, apply or delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Group, version, kind and plural.
    pub api: ApiResource,
    /// `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.api.kind, self.name),
            None => write!(f, "{} {}", self.api.kind, self.name),
        }
    }
}

/// One desired object: exactly the fields we own, and nothing we have no opinion on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which object.
    pub reference: Reference,
    /// The body of the server-side apply.
    pub body: serde_json::Value,
}

impl Object {
    /// Takes a typed object. It must carry its name, and its namespace if it has one.
    ///
    /// # Panics
    /// When the type serializes to something other than JSON, which no Kubernetes type does.
    pub fn of<K>(object: &K) -> Self
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        Self {
            reference: Reference {
                api: ApiResource::erase::<K>(&()),
                namespace: object.namespace(),
                name: object.name_any(),
            },
            body: serde_json::to_value(object).expect("a Kubernetes type serializes to JSON"),
        }
    }
}

/// What applying one object came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It did not exist before.
    Created,
    /// It was there and changed.
    Changed,
    /// It was there as desired: nothing was written.
    Unchanged,
}

/// One object as the API server holds it now.
#[derive(Debug, Clone)]
pub struct AppliedObject {
    /// Which object.
    pub reference: Reference,
    /// What the API server holds.
    pub object: DynamicObject,
    /// What happened to it.
    pub effect: Effect,
}

/// An ordered set of objects.
#[derive(Debug, Clone)]
pub struct Objects<P: Progress> {
    present: Vec<P::Object>,
    absent: Vec<Reference>,
}

impl<P: Progress> Default for Objects<P> {
    fn default() -> Self {
        Self {
            present: Vec::new(),
            absent: Vec::new(),
        }
    }
}

impl<P: Progress> Objects<P> {
    /// The objects, in apply order.
    pub fn present(&self) -> &[P::Object] {
        &self.present
    }

    /// Those which must not exist (desired), or which were removed (applied).
    pub fn absent(&self) -> &[Reference] {
        &self.absent
    }

    /// Both parts, by value.
    pub fn into_parts(self) -> (Vec<P::Object>, Vec<Reference>) {
        (self.present, self.absent)
    }
}

impl Objects<Desired> {
    /// Nothing desired yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an object: it is applied after all that were added before it.
    pub fn add<K>(&mut self, object: &K)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        self.present.push(Object::of(object));
    }

    /// Names a namespaced object that must not exist; removed after everything present is applied.
    pub fn forbid<K>(&mut self, namespace: &str, name: impl Into<String>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.absent.push(Reference {
            api: ApiResource::erase::<K>(&()),
            namespace: Some(namespace.to_owned()),
            name: name.into(),
        });
    }

    /// Names a cluster-scoped object that must not exist.
    pub fn forbid_cluster_scoped<K>(&mut self, name: impl Into<String>)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>,
    {
        self.absent.push(Reference {
            api: ApiResource::erase::<K>(&()),
            namespace: None,
            name: name.into(),
        });
    }

    /// Finds a desired object by kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.present
            .iter()
            .find(|object| object.reference.api.kind == kind && object.reference.name == name)
    }
}

impl Objects<Applied> {
    /// What apply collected.
    pub fn of(present: Vec<AppliedObject>, removed: Vec<Reference>) -> Self {
        Self {
            present,
            absent: removed,
        }
    }

    /// Finds an applied object by type and name; `None` when it is not there or reads as something else.
    pub fn find<K>(&self, name: &str) -> Option<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let kind = K::kind(&());
        self.present
            .iter()
            .find(|applied| applied.reference.api.kind == kind && applied.reference.name == name)
            .and_then(|applied| applied.object.clone().try_parse().ok())
    }

    /// Whether anything was written.
    pub fn has_changes(&self) -> bool {
        !self.absent.is_empty()
            || self
                .present
                .iter()
                .any(|applied| applied.effect != Effect::Unchanged)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::api::ObjectMeta;

    use super::*;

    fn config_map(name: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("tenants".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    #[test]
    fn objects_are_applied_in_the_order_they_were_added() {
        let mut objects = Objects::new();
        objects.add(&config_map("one"));
        objects.add(&config_map("two"));
        objects.forbid::<Secret>("tenants", "gone");

        let names: Vec<_> = objects
            .present()
            .iter()
            .map(|object| object.reference.to_string())
            .collect();
        assert_eq!(names, ["ConfigMap tenants/one", "ConfigMap tenants/two"]);
        assert_eq!(
            objects.absent().first().unwrap().to_string(),
            "Secret tenants/gone"
        );
    }

    #[test]
    fn a_body_says_what_it_is() {
        let object = Object::of(&config_map("one"));
        assert_eq!(object.body["apiVersion"], "v1");
        assert_eq!(object.body["kind"], "ConfigMap");
        assert_eq!(object.body["metadata"]["name"], "one");
    }

    #[test]
    fn what_was_applied_reads_back_as_its_type() {
        let sent = Object::of(&config_map("one"));
        let applied = AppliedObject {
            reference: sent.reference.clone(),
            object: serde_json::from_value(sent.body).unwrap(),
            effect: Effect::Unchanged,
        };
        let objects = Objects::<Applied>::of(vec![applied], Vec::new());
        assert_eq!(objects.find::<ConfigMap>("one").unwrap().name_any(), "one");
        assert!(objects.find::<Secret>("one").is_none());
        assert!(!objects.has_changes());
    }
}
