//! The second controller: what lives *inside* a tenant cluster.
//!
//! ```text
//!  TenantControlPlane ──watch──► run ──► one task per tenant                           task
//!                                          │ 1 connect, observe   what is there        I/O in
//!                                          │ 2 read               TenantInputs         pure
//!                                          │ 4 build              every object         pure
//!                                          │ 5 plan, apply        only what differs    pure, I/O out
//!                                          ▼ 6 report             conditions, addons   one patch, if at all
//! ```
//!
//! (Step 3, certificates, is the management side's.) A task starts to work when the control plane has a ready pod.
//! It asks its tenant now and then whether it is there (`liveness`), for a connection that was cut in silence says nothing.
//! It owns everything about its tenant, so a tenant that hangs delays neither another nor its own management half.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watching};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::api::TenantControlPlane;
use crate::events::Events;

pub use connect::Reach;
pub use liveness::Probing;

pub mod apply;
pub mod build;
pub mod call;
pub mod connect;
pub mod dial;
pub mod evidence;
pub mod health;
pub mod inputs;
pub mod liveness;
pub mod object;
pub mod observe;
pub mod pass;
pub mod plan;
pub mod read;
pub mod report;
pub mod servers;
pub mod standing;

mod task;
mod watch;

/// What the tenant side may touch.
#[derive(Clone)]
pub struct Tenants {
    /// The management cluster.
    pub client: Client,
    /// Tells users of what changed.
    pub events: Events,
    /// Our agent's image, with tag or digest.
    pub agent_image: String,
    /// From where tenants are dialled.
    pub reach: Reach,
    /// How they are asked whether they are there.
    pub probing: Probing,
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants")
            .field("agent_image", &self.agent_image)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

/// Namespace and name.
type Key = (String, String);

/// Looks after every tenant until `stop` completes, then waits for what is going on in them.
pub async fn run(tenants: Tenants, stop: impl Future<Output = ()>) {
    let api: Api<TenantControlPlane> = Api::all(tenants.client.clone());
    let events = watching(api, watcher::Config::default()).default_backoff();
    let mut followers = Followers {
        tenants: Arc::new(tenants),
        tasks: JoinSet::new(),
        wishes: BTreeMap::new(),
        listed: None,
    };
    let mut events = std::pin::pin!(events);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(event) = events.next() => match event {
                Ok(event) => followers.take(event),
                Err(error) => tracing::warn!(error = %call::Chain(&error), "watching TenantControlPlanes failed"),
            },
            Some(ended) = followers.tasks.join_next() => followers.buried(ended),
        }
    }
    followers.wishes.clear();
    while followers.tasks.join_next().await.is_some() {}
}

/// The tasks, and how each learns what is wished.
struct Followers {
    tenants: Arc<Tenants>,
    tasks: JoinSet<()>,
    wishes: BTreeMap<Key, Sender<Arc<TenantControlPlane>>>,
    /// Who was named since the watch began anew.
    listed: Option<Vec<Key>>,
}

impl Followers {
    fn take(&mut self, event: Event<TenantControlPlane>) {
        match event {
            Event::Init => self.listed = Some(Vec::new()),
            Event::InitApply(tcp) => {
                self.listed.get_or_insert_default().push(key(&tcp));
                self.wish(tcp);
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                self.wishes.retain(|key, _| listed.contains(key));
            }
            Event::Apply(tcp) => self.wish(tcp),
            Event::Delete(tcp) => {
                self.wishes.remove(&key(&tcp));
            }
        }
    }

    /// Hands the newest object to its task, and wakes the task only if something that matters to it changed.
    fn wish(&mut self, tcp: TenantControlPlane) {
        let tcp = Arc::new(tcp);
        let key = key(&tcp);
        if let Some(sender) = self.wishes.get(&key).filter(|sender| !sender.is_closed()) {
            sender.send_if_modified(|held| {
                let news = fingerprint(held) != fingerprint(&tcp);
                *held = tcp;
                news
            });
            return;
        }
        let span = tracing::info_span!("tenant", namespace = %key.0, name = %key.1);
        let (sender, receiver) = tokio::sync::watch::channel(tcp);
        self.wishes.insert(key, sender);
        self.tasks
            .spawn(task::follow(receiver, Arc::clone(&self.tenants)).instrument(span));
    }

    /// A task ends when its tenant is gone. One that panicked is started anew.
    fn buried(&mut self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(%error, "a tenant's task broke: it is started anew");
            let broken: Vec<_> = self
                .wishes
                .values()
                .filter(|sender| sender.is_closed())
                .collect();
            let again: Vec<_> = broken
                .into_iter()
                .map(|sender| sender.borrow().clone())
                .collect();
            for tcp in again {
                self.wish(Arc::unwrap_or_clone(tcp));
            }
        }
    }
}

fn key(tcp: &TenantControlPlane) -> Key {
    (tcp.namespace().unwrap_or_default(), tcp.name_any())
}

/// Changes when a pass could come to something else. Our own reports are not part of it.
fn fingerprint(tcp: &TenantControlPlane) -> u64 {
    let mut hasher = DefaultHasher::new();
    tcp.metadata.generation.hash(&mut hasher);
    tcp.metadata.annotations.hash(&mut hasher);
    tcp.metadata.deletion_timestamp.is_some().hash(&mut hasher);
    let Some(status) = &tcp.status else {
        return hasher.finish();
    };
    status.control_plane_endpoint.hash(&mut hasher);
    let admin = status
        .kubeconfig
        .as_ref()
        .and_then(|kubeconfigs| kubeconfigs.admin.as_ref());
    admin
        .and_then(|admin| admin.checksum.as_ref())
        .hash(&mut hasher);
    let authority = status
        .certificates
        .as_ref()
        .and_then(|certificates| certificates.ca.as_ref());
    authority
        .and_then(|authority| authority.checksum.as_ref())
        .hash(&mut hasher);
    servers::Wanted::of(tcp).ready.hash(&mut hasher);
    hasher.finish()
}
