//! Asks a store how it is: in, a `DataStore`; out, [`Probe`]: what is wrong with its spec, with the way to it, or
//! nothing.

use kube::ResourceExt as _;

use super::resolve::{self, Resolved, resolve};
use crate::api::DataStore;
use crate::context::Context;
use crate::etcd::{Error, Etcd, Fault, Health};
use crate::telemetry::chain;

/// On a `DataStore`: the operator turns on etcd's own access control, so that tenants are confined to their keys. Not for
/// an etcd that others use: they would be shut out.
pub const ENFORCE_USERS: &str = "kamaji.clastix.io/enforce-users";

/// What asking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It answers, and the operator may administer it.
    Ready(Health),
    /// Its spec cannot be used; the text says why.
    Invalid(String),
    /// It is understood and not served.
    NotServed(String),
    /// It cannot be used now.
    Failed {
        /// Who can mend it.
        fault: Fault,
        /// What happened.
        message: String,
    },
}

impl Probe {
    /// Whether tenants can be served from it.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// Whether the spec can be used, as far as it was read.
    pub const fn is_valid(&self) -> bool {
        !matches!(self, Self::Invalid(_))
    }
}

/// Asks the store.
pub async fn probe(store: &DataStore, ctx: &Context) -> Probe {
    match resolve(&ctx.client, store).await {
        Ok(resolved) => ask(&resolved, wish(store), ctx).await,
        Err(error @ resolve::Error::Driver { .. }) => Probe::NotServed(chain(&error)),
        Err(error) => Probe::Invalid(chain(&error)),
    }
}

/// Whether the operator shall see to it that users are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Enforced,
    AsItIs,
}

fn wish(store: &DataStore) -> Wish {
    match store.annotations().get(ENFORCE_USERS).map(String::as_str) {
        Some("true") => Wish::Enforced,
        _ => Wish::AsItIs,
    }
}

async fn ask(store: &Resolved, wish: Wish, ctx: &Context) -> Probe {
    let etcd = match ctx.connections.open(store).await {
        Ok(etcd) => etcd,
        Err(error) => return failed(&error),
    };
    match health(&etcd, wish).await {
        Ok(health) => Probe::Ready(health),
        Err(error) => {
            // Another member may do better.
            ctx.connections.forget(&store.access.name);
            failed(&error)
        }
    }
}

async fn health(etcd: &Etcd, wish: Wish) -> Result<Health, Error> {
    let health = etcd.health().await?;
    if health.auth_enabled || wish == Wish::AsItIs {
        return Ok(health);
    }
    etcd.enforce_users().await?;
    tracing::info!(
        endpoint = health.endpoint,
        "etcd enforces its users from now on"
    );
    etcd.health().await
}

fn failed(error: &Error) -> Probe {
    match error.fault() {
        Fault::Invalid => Probe::Invalid(chain(error)),
        fault => Probe::Failed {
            fault,
            message: chain(error),
        },
    }
}

/// How a probe reads in a log line or message.
pub fn describe(store: &DataStore, probe: &Probe) -> String {
    let name = store.name_any();
    match probe {
        Probe::Ready(health) if health.auth_enabled => {
            format!(
                "etcd {} answers at {}; users are enforced",
                health.version, health.endpoint
            )
        }
        Probe::Ready(health) => format!(
            "etcd {} answers at {}; users are set up and not enforced: annotate this DataStore with {ENFORCE_USERS}=true, or run `etcdctl auth enable`, so that no tenant can read another's keys",
            health.version, health.endpoint
        ),
        Probe::Invalid(why) | Probe::NotServed(why) => why.clone(),
        Probe::Failed { fault, message } => {
            format!("DataStore {name}: {message}; {}", fault.remedy())
        }
    }
}
