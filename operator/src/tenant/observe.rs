//! Step 1 inside a tenant: what is there. Reads only, and only what is ours.
//!
//! Each list is selected by label and bounded, so a tenant with a hundred thousand objects costs as much as an empty
//! one.

use futures_util::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};

use super::build::{AGENT, SYSTEM, tunnel_server};
use super::call::{CallError, call};
use super::plan::Live;
use super::servers;
use crate::labels;

/// More objects of one kind with our label there are only where somebody plays with it.
const MOST_OBJECTS: u32 = 200;
/// More agents than this need not be looked at to know what is wrong with them.
const MOST_AGENTS: u32 = 50;

/// What a tenant has.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The objects with our label.
    pub live: Live,
    /// How many nodes have joined.
    pub nodes: u64,
    /// konnectivity-agent's pods, the first of them.
    pub agents: Vec<Pod>,
    /// Names of the Leases by which konnectivity-servers show themselves.
    pub server_leases: Vec<String>,
    /// How many of these have not run out.
    pub live_servers: usize,
}

/// The kinds that are made in tenants.
pub fn kinds() -> [ApiResource; 9] {
    [
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<ClusterRoleBinding>(&()),
        ApiResource::erase::<ClusterRole>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<Service>(&()),
    ]
}

/// What selects our objects.
pub fn selector() -> String {
    format!("{}={}", labels::PROJECT, labels::PROJECT_VALUE)
}

/// Reads it all, at once.
pub async fn observe(tenant: &Client) -> Result<Observed, CallError> {
    let lists = kinds().map(|resource| list(tenant, resource));
    let (lists, nodes, agents, server_leases) = tokio::try_join!(
        try_join_all(lists),
        count_nodes(tenant),
        agents(tenant),
        server_leases(tenant),
    )?;
    let mut live = Live::default();
    for (resource, objects) in lists {
        for object in objects {
            live.insert(resource.clone(), object);
        }
    }
    Ok(Observed {
        live,
        nodes,
        agents,
        live_servers: servers::live(&server_leases, Timestamp::now()),
        server_leases: server_leases
            .into_iter()
            .filter_map(|lease| lease.metadata.name)
            .collect(),
    })
}

async fn list(
    tenant: &Client,
    resource: ApiResource,
) -> Result<(ApiResource, Vec<DynamicObject>), CallError> {
    let api: Api<DynamicObject> = Api::all_with(tenant.clone(), &resource);
    let params = ListParams::default()
        .labels(&selector())
        .limit(MOST_OBJECTS);
    let found = call(api.list(&params)).await?;
    Ok((resource, found.items))
}

async fn count_nodes(tenant: &Client) -> Result<u64, CallError> {
    let nodes: Api<Node> = Api::all(tenant.clone());
    let first = call(nodes.list_metadata(&ListParams::default().limit(1))).await?;
    let more = first.metadata.remaining_item_count.unwrap_or_default();
    Ok(u64::try_from(more).unwrap_or_default() + first.items.len() as u64)
}

async fn agents(tenant: &Client) -> Result<Vec<Pod>, CallError> {
    let pods: Api<Pod> = Api::namespaced(tenant.clone(), SYSTEM);
    let params = ListParams::default()
        .labels(&format!("k8s-app={AGENT}"))
        .limit(MOST_AGENTS);
    Ok(call(pods.list(&params)).await?.items)
}

async fn server_leases(tenant: &Client) -> Result<Vec<Lease>, CallError> {
    let leases: Api<Lease> = Api::namespaced(tenant.clone(), SYSTEM);
    let params = ListParams::default()
        .labels(tunnel_server::LEASE_SELECTOR)
        .limit(MOST_OBJECTS);
    Ok(call(leases.list(&params)).await?.items)
}
