//! Step 1: reads everything a pass depends on, and writes nothing.
//!
//! In: the custom resource. Out: [`Observation`]. Objects are read from the API server and not from a cache, because a
//! cache that has not seen the authority made a moment ago would have it made again. Two lists bring the Secrets and
//! `ConfigMaps` that carry our labels; one that is missing there is asked for by name, so that what somebody restored
//! without labels is found and adopted.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::claim::{Claim, Credentials};
use super::observed::{Observed, ObservedDataStore, data_store_name};
use crate::api::TenantControlPlane;
use crate::context::Context;
use crate::data_store::resolve::{self, Resolved, resolve};
use crate::data_store::usage;
use crate::labels;
use crate::names::{ConfigMapName, Names, SecretName};
use crate::telemetry::chain;

/// What a pass starts from.
#[derive(Debug, Default)]
pub struct Observation {
    /// What the pure steps read.
    pub observed: Observed,
    /// The store, for the steps that speak to it.
    pub store: Store,
    /// The pods, while not all of them serve: they say why.
    pub pods: Vec<Pod>,
}

/// The store of a tenant, as the operator sees it.
#[derive(Debug, Default)]
pub enum Store {
    /// No store is named, and the operator has no default one.
    #[default]
    Unnamed,
    /// There is no such DataStore.
    NotFound(String),
    /// It cannot be used as it stands.
    Misconfigured {
        /// Which store.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its driver is not served yet.
    NotServed {
        /// Which store.
        name: String,
        /// What is served.
        why: String,
    },
    /// Everything it refers to was read.
    Resolved(Box<Resolved>),
}

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}")]
pub struct Error {
    /// What was to be read.
    pub what: String,
    /// What the API server said.
    #[source]
    pub source: Box<kube::Error>,
}

/// Reads.
pub async fn observe(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<Observation, Error> {
    let namespace = names.namespace();
    let client = &ctx.client;
    let name = names.name();
    let mut observed = Observed {
        service: get(client, namespace, name).await?,
        peers: get(client, namespace, &names.peers_service()).await?,
        deployment: get(client, namespace, name).await?,
        disruption_budget: get(client, namespace, name).await?,
        ..Observed::default()
    };
    let secrets = list::<Secret>(client, names).await?;
    for secret in SecretName::ALL {
        if let Some(found) = pick(client, namespace, &secrets, &names.secret(secret)).await? {
            observed.secrets.insert(secret, found);
        }
    }
    let config_maps = list::<ConfigMap>(client, names).await?;
    for config_map in ConfigMapName::ALL {
        if let Some(found) = pick(
            client,
            namespace,
            &config_maps,
            &names.config_map(config_map),
        )
        .await?
        {
            observed.config_maps.insert(config_map, found);
        }
    }
    let store = store(tcp, ctx).await?;
    observed.data_store = match &store {
        Store::Unnamed | Store::NotFound(_) => ObservedDataStore::Missing,
        Store::Misconfigured { why, .. } | Store::NotServed { why, .. } => {
            ObservedDataStore::Unusable(why.clone())
        }
        Store::Resolved(resolved) => ObservedDataStore::Found(resolved.access.clone()),
    };
    observed.neighbours = neighbours(tcp, ctx);
    let pods = if observed.deployment.as_ref().is_some_and(lacks_pods) {
        list::<Pod>(client, names).await?
    } else {
        Vec::new()
    };
    Ok(Observation {
        observed,
        store,
        pods,
    })
}

/// The store that the tenant uses or will use.
pub async fn store(tcp: &TenantControlPlane, ctx: &Context) -> Result<Store, Error> {
    let Some(name) = data_store_name(tcp, &ctx.settings.defaults) else {
        return Ok(Store::Unnamed);
    };
    let found: Option<_> = read(
        &format!("DataStore {name}"),
        Api::all(ctx.client.clone()).get_opt(name),
    )
    .await?;
    let Some(store) = found else {
        return Ok(Store::NotFound(name.to_owned()));
    };
    let name = name.to_owned();
    Ok(match resolve(&ctx.client, &store).await {
        Ok(resolved) => Store::Resolved(Box::new(resolved)),
        Err(resolve::Error::Read {
            source,
            namespace,
            name,
            ..
        }) => {
            return Err(Error {
                what: format!("Secret {namespace}/{name}"),
                source,
            });
        }
        Err(error @ resolve::Error::Driver { .. }) => Store::NotServed {
            name,
            why: chain(&error),
        },
        Err(error) => Store::Misconfigured {
            name,
            why: chain(&error),
        },
    })
}

/// What the other tenants of the store say is theirs. Two `DataStore`s with an endpoint in common are one store.
pub fn neighbours(tcp: &TenantControlPlane, ctx: &Context) -> Vec<Claim> {
    let defaults = &ctx.settings.defaults;
    let names = usage::stores_with_aliases(tcp, &ctx.data_stores.state(), defaults);
    ctx.tenants
        .state()
        .iter()
        .filter(|other| other.uid() != tcp.uid() && usage::uses(other, &names, defaults))
        .map(|other| Claim::of(other, Credentials::default()))
        .collect()
}

fn lacks_pods(deployment: &Deployment) -> bool {
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    status.ready_replicas.unwrap_or_default() < wanted
        || status.unavailable_replicas.unwrap_or_default() > 0
}

/// Reads the object of that name, if there is one.
async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    read(
        &format!("{} {namespace}/{name}", K::kind(&())),
        api.get_opt(name),
    )
    .await
}

/// Reads everything of one kind that carries the labels of the tenant.
async fn list<K>(client: &Client, names: &Names) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), names.namespace());
    let params = ListParams::default().labels(&format!("{}={}", labels::NAME, names.name()));
    let found = read(
        &format!("the {} of {names}", K::plural(&())),
        api.list(&params),
    )
    .await?;
    Ok(found.items)
}

async fn pick<K>(
    client: &Client,
    namespace: &str,
    listed: &[K],
    name: &str,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    match listed.iter().find(|object| object.name_any() == name) {
        Some(found) => Ok(Some(found.clone())),
        None => get(client, namespace, name).await,
    }
}

async fn read<T>(
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    request.await.map_err(|source| Error {
        what: what.to_owned(),
        source: Box::new(source),
    })
}
