//! What was read from the management cluster, before anything is decided.
//!
//! `observe` fills it by name, whoever made the objects: names are derived, so adoption needs no search. The pure
//! steps read it and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::api::TenantControlPlane;
use crate::api::data_store::Driver;
use crate::names::{ConfigMapName, SecretName, key};
use crate::pki::KeyPair;

use super::claim::{Claim, Credentials};
use super::control_plane::Defaults;

/// Everything the management side of one tenant control plane depends on beside its spec.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The Service, named like the tenant control plane.
    pub service: Option<Service>,
    /// The Service through which konnectivity-servers find each other, or a stranger's of that name.
    pub peers: Option<Service>,
    /// The Deployment, named like the tenant control plane.
    pub deployment: Option<Deployment>,
    /// The `PodDisruptionBudget`, named like the tenant control plane.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// The Secrets that exist.
    pub secrets: BTreeMap<SecretName, Secret>,
    /// The `ConfigMaps` that exist.
    pub config_maps: BTreeMap<ConfigMapName, ConfigMap>,
    /// The store that [`data_store_name`] names.
    pub data_store: ObservedDataStore,
    /// What the other tenants of that store say is theirs.
    pub neighbours: Vec<Claim>,
}

/// What is known of the store.
#[derive(Debug, Clone, Default)]
pub enum ObservedDataStore {
    /// There is no `DataStore` of that name, or none is named.
    #[default]
    Missing,
    /// It is there, but what it refers to is not, or cannot be read. The text says what.
    Unusable(String),
    /// It is there, and all it refers to was read.
    Found(DataStoreAccess),
}

/// How a store is reached, with the references of its spec resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataStoreAccess {
    /// Its name.
    pub name: String,
    /// Kind of store.
    pub driver: Driver,
    /// Where it answers, each as `host:port`.
    pub endpoints: Vec<String>,
    /// Who signs its certificate and those of tenants. Present for etcd.
    pub authority: Option<KeyPair>,
}

impl Observed {
    /// The text under `key` of a Secret, when both are there.
    pub fn secret_text(&self, secret: SecretName, key: &str) -> Option<&str> {
        let data = self.secrets.get(&secret)?.data.as_ref()?;
        std::str::from_utf8(&data.get(key)?.0)
            .ok()
            .filter(|text| !text.is_empty())
    }

    /// Which place in the store the Secret with its credentials names.
    pub fn credentials(&self) -> Credentials {
        let stored = |key| {
            self.secret_text(SecretName::DataStoreConfig, key)
                .map(str::to_owned)
        };
        Credentials {
            schema: stored(key::DB_SCHEMA),
            user: stored(key::DB_USER),
        }
    }

    /// The value of an annotation of a Secret.
    pub fn secret_annotation(&self, secret: SecretName, annotation: &str) -> Option<&str> {
        let annotations = self.secrets.get(&secret)?.metadata.annotations.as_ref()?;
        annotations.get(annotation).map(String::as_str)
    }
}

/// The name of the store to read: what the spec names, else the one in use, else the operator's default.
pub fn data_store_name<'a>(
    tenant_control_plane: &'a TenantControlPlane,
    defaults: &'a Defaults,
) -> Option<&'a str> {
    let spec = tenant_control_plane.spec.data_store.as_deref();
    let in_use = || {
        let storage = tenant_control_plane.status.as_ref()?.storage.as_ref()?;
        storage.data_store_name.as_deref()
    };
    spec.or_else(in_use)
        .or(defaults.data_store.as_deref())
        .filter(|name| !name.is_empty())
}
