//! Step 5b inside a tenant: carries out a [`Plan`], and decides nothing.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};

use super::build::SYSTEM;
use super::call::{CallError, call};
use super::object::{Key, TenantObject};
use super::plan::Plan;

/// As whom we write in tenants.
pub const MANAGER: &str = "warren";

/// What could not be done.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {key} in the tenant failed")]
pub struct ApplyError {
    /// What was tried.
    verb: &'static str,
    /// On what.
    key: Key,
    /// Why it failed.
    pub source: CallError,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Written, by key and component.
    pub written: Vec<(Key, String)>,
    /// Deleted.
    pub deleted: Vec<Key>,
}

/// Applies, then deletes.
pub async fn apply(tenant: &Client, plan: Plan) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    for object in plan.apply {
        let key = object.key();
        put(tenant, &object).await.map_err(|source| ApplyError {
            verb: "applying",
            key: key.clone(),
            source,
        })?;
        applied.written.push((key, object.component().to_owned()));
    }
    for (resource, key) in plan.delete {
        delete(&api(tenant, &resource, &key), &key.name)
            .await
            .map_err(|source| ApplyError {
                verb: "deleting",
                key: key.clone(),
                source,
            })?;
        applied.deleted.push(key);
    }
    forget(tenant, &plan.forget).await?;
    Ok(applied)
}

/// Applies one object. What cannot be changed in place (a selector, a `roleRef`, a cluster address) is replaced.
async fn put(tenant: &Client, object: &TenantObject) -> Result<(), CallError> {
    let key = object.key();
    let api = api(tenant, &object.resource, &key);
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(&object.object);
    match call(api.patch(&key.name, &params, &patch)).await {
        Err(error)
            if error.code() == Some(422)
                && call(api.get_metadata_opt(&key.name)).await?.is_some() =>
        {
            tracing::info!(object = %key, "replacing what cannot be changed in place");
            delete(&api, &key.name).await?;
            call(api.patch(&key.name, &params, &patch)).await.map(drop)
        }
        answer => answer.map(drop),
    }
}

async fn delete(api: &Api<DynamicObject>, name: &str) -> Result<(), CallError> {
    match call(api.delete(name, &DeleteParams::background())).await {
        Err(error) if error.code() != Some(404) => Err(error),
        _ => Ok(()),
    }
}

/// Deletes the Leases of servers that are no more.
async fn forget(tenant: &Client, leases: &[String]) -> Result<(), ApplyError> {
    let resource = ApiResource::erase::<Lease>(&());
    for name in leases {
        let key = Key {
            kind: resource.kind.clone(),
            namespace: SYSTEM.to_owned(),
            name: name.clone(),
        };
        delete(&api(tenant, &resource, &key), name)
            .await
            .map_err(|source| ApplyError {
                verb: "deleting",
                key,
                source,
            })?;
    }
    Ok(())
}

fn api(tenant: &Client, resource: &ApiResource, key: &Key) -> Api<DynamicObject> {
    match key.namespace.as_str() {
        "" => Api::all_with(tenant.clone(), resource),
        namespace => Api::namespaced_with(tenant.clone(), namespace, resource),
    }
}

impl Applied {
    /// Whether any object of this component was written.
    pub fn touched(&self, component: &str) -> bool {
        self.written.iter().any(|(_, written)| written == component)
    }
}
