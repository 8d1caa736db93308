//! What wakes a controller: in, watches; out, passes over the objects they concern.
//!
//! Owned objects are watched as metadata and by our label: that something changed is all there is to know, the pass
//! reads what it is. Secrets are watched without it, because those that stores refer to are somebody else's. A store
//! wakes its tenants only when its spec, its readiness or its credentials changed, and a tenant wakes only its own store:
//! creating one tenant costs the others nothing.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::PartialObjectMeta;
use kube::runtime::PredicateConfig;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, reflector};
use kube::runtime::watcher::{self, Error as WatchError};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::Shutdown;
use crate::api::condition::ConditionType;
use crate::api::{DataStore, TenantControlPlane};
use crate::context::Context;
use crate::data_store::resolve::refers_to;
use crate::data_store::{self, usage};
use crate::labels;
use crate::tenant_control_plane;
use crate::tenant_control_plane::control_plane::Defaults;

/// Changes come in swarms: one pass for each swarm.
const SETTLE: Duration = Duration::from_millis(200);
/// Usage of a store is counted over a cache that another watch fills: give it the time.
const SETTLE_USAGE: Duration = Duration::from_secs(1);

/// Runs the controller of tenant control planes, management side.
pub(super) async fn tenant_control_planes(
    ctx: &Arc<Context>,
    writer: Writer<TenantControlPlane>,
    shutdown: Shutdown,
) {
    let client = &ctx.client;
    let events = watcher::watcher(
        Api::<TenantControlPlane>::all(client.clone()),
        watcher::Config::default(),
    );
    let tenants = reflector(writer, events)
        .default_backoff()
        .applied_objects()
        .predicate_filter(
            |object: &TenantControlPlane| Some(tenant_fingerprint(object)),
            PredicateConfig::default(),
        );
    let stores = watcher::watcher(
        Api::<DataStore>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .touched_objects()
    .predicate_filter(
        |object: &DataStore| Some(store_fingerprint(object)),
        PredicateConfig::default(),
    );
    let config = controller::Config::default()
        .debounce(SETTLE)
        .concurrency(ctx.settings.concurrency);
    let (of_store, of_secret) = (Arc::clone(ctx), Arc::clone(ctx));
    Controller::for_stream(tenants, ctx.tenants.clone())
        .with_config(config)
        .watches_stream(watched::<Secret>(client, None), move |secret| {
            concerned(secret, &of_secret)
        })
        .watches_stream(owned::<ConfigMap>(client), owner)
        .watches_stream(owned::<Service>(client), owner)
        .watches_stream(owned::<Deployment>(client), owner)
        .watches_stream(owned::<PodDisruptionBudget>(client), owner)
        .watches_stream(
            watched::<Pod>(
                client,
                Some((labels::COMPONENT, labels::COMPONENT_DEPLOYMENT)),
            ),
            owner,
        )
        .watches_stream(stores, move |store| {
            let names = BTreeSet::from([store.name_any()]);
            users(
                &of_store.tenants.state(),
                &names,
                &of_store.settings.defaults,
            )
        })
        .graceful_shutdown_on(shutdown.asked_owned())
        .run(
            tenant_control_plane::reconcile,
            tenant_control_plane::error_policy,
            Arc::clone(ctx),
        )
        .for_each(async |pass| trace(pass))
        .await;
}

/// Runs the controller of stores.
pub(super) async fn data_stores(ctx: &Arc<Context>, writer: Writer<DataStore>, shutdown: Shutdown) {
    let client = &ctx.client;
    let events = watcher::watcher(
        Api::<DataStore>::all(client.clone()),
        watcher::Config::default(),
    );
    let stores = reflector(writer, events)
        .default_backoff()
        .applied_objects()
        .predicate_filter(
            |object: &DataStore| Some(own_fingerprint(object)),
            PredicateConfig::default(),
        );
    let users = Arc::clone(ctx);
    let tenants = watcher::watcher(
        Api::<TenantControlPlane>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .touched_objects()
    .predicate_filter(
        move |tcp: &TenantControlPlane| {
            let stores = usage::stores(tcp, &users.settings.defaults);
            Some(hash(&(stores, tcp.meta().deletion_timestamp.is_some())))
        },
        PredicateConfig::default(),
    );
    let settings = Arc::clone(&ctx.settings);
    Controller::for_stream(stores, ctx.data_stores.clone())
        .with_config(
            controller::Config::default()
                .debounce(SETTLE_USAGE)
                .concurrency(4),
        )
        .watches_stream(tenants, move |tcp| {
            let names: Vec<_> = usage::stores(&tcp, &settings.defaults)
                .into_iter()
                .flatten()
                .map(ObjectRef::new)
                .collect();
            names
        })
        .graceful_shutdown_on(shutdown.asked_owned())
        .run(
            data_store::reconcile,
            data_store::error_policy,
            Arc::clone(ctx),
        )
        .for_each(async |pass| trace(pass))
        .await;
}

/// Everything of one kind that carries our label.
fn owned<K>(
    client: &Client,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, WatchError>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watched(client, Some((labels::PROJECT, labels::PROJECT_VALUE)))
}

fn watched<K>(
    client: &Client,
    label: Option<(&str, &str)>,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, WatchError>> + Send + 'static + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let everything = watcher::Config::default();
    let config = match label {
        Some((key, value)) => everything.labels(&format!("{key}={value}")),
        None => everything,
    };
    watcher::watcher(Api::<PartialObjectMeta<K>>::all(client.clone()), config)
        .default_backoff()
        .touched_objects()
}

/// Whose object it is: as its label says, also when it was adopted and has no owner yet.
fn owner<K>(object: PartialObjectMeta<K>) -> Option<ObjectRef<TenantControlPlane>> {
    let metadata = object.metadata;
    let name = metadata.labels?.remove(labels::NAME)?;
    Some(ObjectRef::new(&name).within(&metadata.namespace?))
}

/// Whom a Secret concerns: whose it is, and who uses a store that is reached with it.
fn concerned(
    secret: PartialObjectMeta<Secret>,
    ctx: &Context,
) -> Vec<ObjectRef<TenantControlPlane>> {
    let stores = stores_reached_with(&secret, &ctx.data_stores.state());
    let mut found = if stores.is_empty() {
        Vec::new()
    } else {
        users(&ctx.tenants.state(), &stores, &ctx.settings.defaults)
    };
    if secret.labels().get(labels::PROJECT).map(String::as_str) == Some(labels::PROJECT_VALUE) {
        found.extend(owner(secret));
    }
    found
}

/// The stores that refer to this Secret.
fn stores_reached_with(
    secret: &PartialObjectMeta<Secret>,
    stores: &[Arc<DataStore>],
) -> BTreeSet<String> {
    let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
    let refer = |store: &&Arc<DataStore>| refers_to(store, &namespace, &name);
    let stores = stores.iter().filter(refer);
    stores.map(|store| store.name_any()).collect()
}

/// The tenants of these stores.
fn users(
    tenants: &[Arc<TenantControlPlane>],
    stores: &BTreeSet<String>,
    defaults: &Defaults,
) -> Vec<ObjectRef<TenantControlPlane>> {
    tenants
        .iter()
        .filter(|tcp| usage::uses(tcp, stores, defaults))
        .map(|tcp| ObjectRef::from_obj(tcp.as_ref()))
        .collect()
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Changes when a pass over a tenant could come to something else: not by our own reports.
fn tenant_fingerprint(tcp: &TenantControlPlane) -> u64 {
    let theirs = [
        ConditionType::TunnelReady,
        ConditionType::AgentsReady,
        ConditionType::TenantBootstrapped,
    ];
    let conditions = tcp.status.as_ref().map(|status| &status.conditions);
    let told: Vec<_> = conditions
        .into_iter()
        .flatten()
        .filter(|held| theirs.iter().any(|kind| kind.as_str() == held.type_))
        .map(|held| (&held.type_, &held.status, &held.reason, &held.message))
        .collect();
    hash(&(marks(tcp), told))
}

/// Changes when tenants of a store should look again: not by its usage.
fn store_fingerprint(store: &DataStore) -> u64 {
    let ready = store.status.as_ref().map(|status| status.ready);
    hash(&(
        store.meta().generation,
        store.uid(),
        ready,
        store.meta().deletion_timestamp.is_some(),
    ))
}

fn own_fingerprint(store: &DataStore) -> u64 {
    hash(&marks(store))
}

/// What of an object's head asks for a pass.
fn marks<K: Resource>(object: &K) -> impl std::hash::Hash {
    let metadata = object.meta();
    (
        metadata.uid.clone(),
        metadata.generation,
        metadata.annotations.clone(),
        metadata.finalizers.clone(),
        metadata.deletion_timestamp.is_some(),
    )
}

/// What a pass came to is logged where it is known; here only what the machinery says.
fn trace<K, E>(pass: Result<(ObjectRef<K>, controller::Action), controller::Error<E, WatchError>>)
where
    K: Resource<DynamicType = ()>,
    E: std::error::Error + 'static,
{
    match pass {
        Ok((object, action)) => tracing::debug!(%object, ?action, "pass"),
        Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(
            error = crate::telemetry::chain(&error),
            "watching failed; it is tried again"
        ),
    }
}

#[cfg(test)]
mod tests;
