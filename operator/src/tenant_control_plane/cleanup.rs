//! The end of a tenant control plane: its pods go, then its data, then the finalizers; everything else is collected with
//! the owner. It always ends, or says in a condition what it waits for and how to let go.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use super::claim::{Claim, Credentials, Source};
use super::observe::{self, Store, store};
use super::ownership::Holder;
use super::report;
use crate::api::TenantControlPlane;
use crate::api::condition::{ConditionType, Finding, Reason};
use crate::context::Context;
use crate::etcd::tenancy::Tenancy;
use crate::finalizer::{self, Wish};
use crate::names::{Names, SecretName, key};
use crate::telemetry::chain;
use crate::{labels, retry};

/// On the custom resource: its data may be left behind, for its store will not come back.
pub const ABANDON_DATA: &str = "kamaji.clastix.io/abandon-data";
/// Pods that have not ended by then no longer hold up the deletion: they lose their access with the role.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why the deletion is not over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object could not be read or changed.
    #[error("cannot {what}")]
    Api {
        /// What was tried.
        what: &'static str,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The store could not be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// The data could not be deleted.
    #[error(
        "the tenant's data in DataStore {store} cannot be deleted: {why}. Mend the DataStore, or annotate the TenantControlPlane with {ABANDON_DATA}=true to leave the data behind"
    )]
    Data {
        /// Which store.
        store: String,
        /// What happened.
        why: String,
    },
}

impl Error {
    /// What the API server said, when it was the one that refused.
    pub fn api(&self) -> Option<&kube::Error> {
        match self {
            Self::Api { source, .. } => Some(source),
            Self::Observe(error) => Some(&error.source),
            Self::Data { .. } => None,
        }
    }
}

/// One pass over an object that is being deleted.
pub async fn cleanup(tcp: &TenantControlPlane, ctx: &Context) -> Result<Action, super::Error> {
    let carries = |name: &str| tcp.finalizers().iter().any(|held| held == name);
    if !carries(labels::FINALIZER) && !carries(labels::FINALIZER_SOOT) {
        forget(tcp, ctx);
        return Ok(Action::await_change());
    }
    match end(tcp, ctx).await {
        Ok(Progress::Done) => {
            forget(tcp, ctx);
            Ok(Action::await_change())
        }
        Ok(Progress::Waiting(finding)) => {
            report::deleting(tcp, &finding, ctx).await?;
            Ok(Action::requeue(Duration::from_secs(5)))
        }
        Err(error) => {
            let finding = Finding::no(ConditionType::Ready, Reason::Deleting, chain(&error));
            report::deleting(tcp, &finding, ctx).await?;
            Err(error.into())
        }
    }
}

fn forget(tcp: &TenantControlPlane, ctx: &Context) {
    ctx.metrics
        .forget_tenant(&tcp.namespace().unwrap_or_default(), &tcp.name_any());
}

enum Progress {
    Done,
    Waiting(Finding),
}

async fn end(tcp: &TenantControlPlane, ctx: &Context) -> Result<Progress, Error> {
    let namespace = tcp.namespace().unwrap_or_default();
    // A name that no control plane can have never had anything to clean up.
    if let Ok(names) = Names::new(namespace.clone(), tcp.name_any()) {
        if let Some(waiting) = stop_pods(tcp, &names, ctx).await? {
            return Ok(Progress::Waiting(waiting));
        }
        delete_data(tcp, &names, ctx).await?;
        release_secret(tcp, &names, ctx).await?;
    }
    let failed = |source| Error::Api {
        what: "take off the finalizers",
        source: Box::new(source),
    };
    finalizer::settle(&ctx.client, tcp, labels::FINALIZER_SOOT, Wish::Absent)
        .await
        .map_err(failed)?;
    if tcp
        .finalizers()
        .iter()
        .any(|held| held == labels::FINALIZER_SOOT)
    {
        // The object changed just now: the next pass takes off the other one.
        return Ok(Progress::Waiting(Finding::no(
            ConditionType::Ready,
            Reason::Deleting,
            "the last finalizer is taken off",
        )));
    }
    finalizer::settle(&ctx.client, tcp, labels::FINALIZER, Wish::Absent)
        .await
        .map_err(failed)?;
    tracing::info!(
        namespace,
        name = tcp.name_any(),
        "tenant control plane is gone"
    );
    Ok(Progress::Done)
}

/// Whose pods the name selects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pods {
    Ours,
    Foreign,
}

/// A custom resource that was refused because its name is taken leaves the Deployment of that name alone.
async fn delete_deployment(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<Pods, Error> {
    let deployments: Api<Deployment> = Api::namespaced(ctx.client.clone(), names.namespace());
    let failed = |what| {
        move |source| Error::Api {
            what,
            source: Box::new(source),
        }
    };
    let found = deployments.get_opt(names.name()).await;
    let Some(found) = found.map_err(failed("read the Deployment"))? else {
        return Ok(Pods::Ours);
    };
    let selector = found.spec.as_ref().map(|spec| &spec.selector);
    let selects_ours = selector == Some(&labels::label_selector(names.name()));
    if !is_ours(&found.metadata, tcp, names) || !selects_ours {
        tracing::warn!(tenant = %names, "the Deployment of that name is somebody else's and stays");
        return Ok(Pods::Foreign);
    }
    // That very one, not another that took its name meanwhile.
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: found.metadata.uid,
        resource_version: None,
    });
    match deployments.delete(names.name(), &params).await {
        Ok(_) => Ok(Pods::Ours),
        Err(error) if retry::code(&error) == Some(404) => Ok(Pods::Ours),
        Err(source) => Err(failed("delete the Deployment")(source)),
    }
}

fn is_ours(metadata: &ObjectMeta, tcp: &TenantControlPlane, names: &Names) -> bool {
    Holder::of(metadata, &tcp.uid().unwrap_or_default(), names.name()).is_ours()
}

/// Pods that still run would write behind the deletion of their data.
async fn stop_pods(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<Option<Finding>, Error> {
    if delete_deployment(tcp, names, ctx).await? == Pods::Foreign {
        return Ok(None);
    }
    let since = tcp
        .metadata
        .deletion_timestamp
        .as_ref()
        .map(|time| (ctx.now)().duration_since(time.0));
    if since.is_some_and(|since| since.unsigned_abs() > PATIENCE) {
        return Ok(None);
    }
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), names.namespace());
    let selector = format!("{}={}", labels::NAME, names.name());
    let left = pods
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(|source| Error::Api {
            what: "list the pods",
            source: Box::new(source),
        })?
        .items
        .len();
    let waiting = || {
        Finding::no(
            ConditionType::Ready,
            Reason::Deleting,
            format!("{left} control-plane pod(s) are ending"),
        )
    };
    Ok((left > 0).then(waiting))
}

/// A store that does not exist any more holds nothing that could be deleted through it; one that exists is insisted on.
async fn delete_data(tcp: &TenantControlPlane, names: &Names, ctx: &Context) -> Result<(), Error> {
    if tcp.annotations().contains_key(ABANDON_DATA) {
        tracing::warn!(tenant = %names, "the tenant's data is left behind, as asked by {ABANDON_DATA}");
        return Ok(());
    }
    let Some(tenancy) = tenancy(tcp, names, ctx).await? else {
        return Ok(());
    };
    let store = match store(tcp, ctx).await? {
        Store::Unnamed => return Ok(()),
        Store::NotFound(name) => {
            tracing::warn!(tenant = %names, data_store = name, "DataStore does not exist: the tenant's data, if any, is left behind");
            return Ok(());
        }
        Store::Misconfigured { name, why } | Store::NotServed { name, why } => {
            return Err(Error::Data { store: name, why });
        }
        Store::Resolved(store) => store,
    };
    let name = store.access.name.clone();
    let unreachable = |why: String| Error::Data {
        store: name.clone(),
        why,
    };
    let etcd = ctx
        .connections
        .open(&store)
        .await
        .map_err(|error| unreachable(chain(error.as_ref())))?;
    let removed = etcd.remove_tenant(&tenancy).await;
    let removed = removed.map_err(|error| {
        ctx.connections.forget(&name);
        unreachable(chain(&error))
    })?;
    let left = etcd
        .count_keys(&tenancy)
        .await
        .map_err(|error| unreachable(chain(&error)))?;
    if left > 0 {
        return Err(unreachable(format!("{left} keys were written meanwhile")));
    }
    tracing::info!(tenant = %names, keys = removed, "the tenant's data is deleted");
    Ok(())
}

/// Where the data is: as status says, else as the Secret says. A tenant that has neither never had a place, and what
/// another tenant holds stays.
async fn tenancy(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<Option<Tenancy>, Error> {
    let credentials = credentials(tcp, names, ctx).await?;
    let claim = Claim::of(tcp, credentials);
    let was_placed = |source| matches!(source, Source::Status | Source::Secret);
    if !was_placed(claim.schema.source) || !was_placed(claim.user.source) {
        return Ok(None);
    }
    let mut foreign = claim.mistakes();
    foreign.extend(claim.conflicts(&observe::neighbours(tcp, ctx)));
    if let Some(why) = foreign.first() {
        tracing::warn!(tenant = %names, %why, "nothing is deleted from the store: it is not this tenant's alone");
        return Ok(None);
    }
    Ok(Some(Tenancy {
        schema: claim.schema.text,
        user: claim.user.text,
    }))
}

async fn credentials(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<Credentials, Error> {
    let secret = config_secret(tcp, names, ctx).await?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Ok(Credentials {
        schema: text(key::DB_SCHEMA),
        user: text(key::DB_USER),
    })
}

/// The Secret that says where the data is, if it is the tenant's: a foreign one would say where another's is.
async fn config_secret(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<Option<Secret>, Error> {
    let secrets: Api<Secret> = Api::namespaced(ctx.client.clone(), names.namespace());
    let found = secrets
        .get_opt(&names.secret(SecretName::DataStoreConfig))
        .await;
    let found = found.map_err(|source| Error::Api {
        what: "read the data store's Secret",
        source: Box::new(source),
    })?;
    Ok(found.filter(|secret| is_ours(&secret.metadata, tcp, names)))
}

/// Kamaji keeps the credentials by a finalizer of their own until the data is gone.
async fn release_secret(
    tcp: &TenantControlPlane,
    names: &Names,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(secret) = config_secret(tcp, names, ctx).await? else {
        return Ok(());
    };
    finalizer::settle(
        &ctx.client,
        &secret,
        labels::FINALIZER_DATA_STORE_SECRET,
        Wish::Absent,
    )
    .await
    .map_err(|source| Error::Api {
        what: "release the data store's Secret",
        source: Box::new(source),
    })
}
