//! Wires everything: listeners, the Lease, the definitions, three controllers; ends when asked to or when one of them
//! cannot go on.
//!
//! ```text
//!  every replica   health, metrics, admission
//!  the leader      definitions ─► DataStore controller, TenantControlPlane controller, tenant side
//! ```
//!
//! The wiring of watches is in `watches`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jiff::Timestamp;
use kube::runtime::events::Reporter;
use kube::runtime::reflector;
use kube::{Client, Config};

use crate::admin::{self, Started};
use crate::args::{Admission, Certificate, Settings};
use crate::backoff::Failures;
use crate::context::Context;
use crate::data_store::connections::Connections;
use crate::events::Events;
use crate::lease::{Holder, LeaseError};
use crate::metrics::Metrics;
use crate::tenant::{self, Probing, Tenants};
use crate::webhook_server::{self, Current, certificate};
use crate::{admission, crd_install};

mod shutdown;
mod watches;

pub use shutdown::{Shutdown, Trigger};

/// Passes that run when the end is asked for have this long; a pod has 30 s.
const GRACE: Duration = Duration::from_secs(20);

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The kubeconfig cannot be used.
    #[error("--kubeconfig={path}: cannot be used")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// No cluster is configured.
    #[error(
        "no management cluster: run in a pod with a service account, set KUBECONFIG, or give --kubeconfig"
    )]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("cannot make a client for the management cluster")]
    Client(#[source] Box<kube::Error>),
    /// A listener does not start.
    #[error("cannot listen for {what}")]
    Listen {
        /// For what.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The definitions are not there.
    #[error(transparent)]
    Definitions(#[from] crd_install::Error),
    /// The Lease is lost.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

/// Runs until `shutdown` says so.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<(), RunError> {
    for flag in &settings.without_effect {
        tracing::info!(flag, "accepted, without effect here");
    }
    let client = connect(&settings).await?;
    let metrics = Arc::new(Metrics::new());
    let started = Started::default();
    let work = lead(
        &settings,
        client.clone(),
        Arc::clone(&metrics),
        shutdown.clone(),
    );
    tokio::select! {
        ended = work => ended,
        ended = serve("health", settings.health, admin::health(started.clone())) => ended,
        ended = serve("metrics", settings.metrics, admin::metrics(metrics)) => ended,
        ended = admit(&settings, &client, &started) => ended,
    }
}

async fn connect(settings: &Settings) -> Result<Client, RunError> {
    let config = match &settings.kubeconfig {
        None => Config::infer().await.map_err(RunError::NoCluster)?,
        Some(path) => {
            let unusable = |source| RunError::Kubeconfig {
                path: path.display().to_string(),
                source,
            };
            let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(unusable)?;
            let options = kube::config::KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(unusable)?
        }
    };
    Client::try_from(config).map_err(|source| RunError::Client(Box::new(source)))
}

async fn serve(
    what: &'static str,
    address: Option<std::net::SocketAddr>,
    pages: Router,
) -> Result<(), RunError> {
    admin::serve(address, pages)
        .await
        .map_err(|source| RunError::Listen { what, source })
}

/// Serves admission. That it can answer is what `/readyz` waits for, because kube-apiserver sends reviews to replicas that
/// are ready, and one without a certificate would refuse every manifest.
async fn admit(settings: &Settings, client: &Client, started: &Started) -> Result<(), RunError> {
    let Some(Admission {
        address,
        certificate,
    }) = &settings.admission
    else {
        started.set();
        return std::future::pending().await;
    };
    let failed = |source| RunError::Listen {
        what: "admission",
        source,
    };
    let listener = admin::listen(*address).await.map_err(failed)?;
    tracing::info!(%address, "listening for admission");
    let current = Current::default();
    let pages = admission::router(settings.limits.clone());
    tokio::select! {
        ended = webhook_server::serve(listener, current.clone(), pages) => ended.map_err(failed),
        () = keep_certificate(certificate, settings, client, &current, started) => Ok(()),
    }
}

async fn keep_certificate(
    certificate: &Certificate,
    settings: &Settings,
    client: &Client,
    current: &Current,
    started: &Started,
) {
    let in_order = || started.set();
    match certificate {
        Certificate::Directory(directory) => {
            certificate::follow(directory, current, in_order).await;
        }
        Certificate::SelfManaged {
            secret,
            configuration,
            service,
        } => {
            let kept = certificate::SelfManaged {
                namespace: settings.namespace.clone(),
                secret: secret.clone(),
                service: service.clone(),
                configuration: configuration.clone(),
            };
            kept.keep(client, current, in_order).await;
        }
    }
}

/// Waits for the Lease, then works for as long as it is ours.
async fn lead(
    settings: &Settings,
    client: Client,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    if !settings.leader_elect {
        return work(settings, client, metrics, shutdown).await;
    }
    let identity = format!("{}_{}", settings.pod_name, uuid::Uuid::new_v4());
    let mut holder = Holder::new(client.clone(), &settings.namespace, identity);
    tokio::select! {
        () = holder.acquire() => {}
        () = shutdown.asked() => return Ok(()),
    }
    let ended = tokio::select! {
        ended = work(settings, client, metrics, shutdown.clone()) => ended,
        lost = holder.keep() => lost.map_err(RunError::from),
        () = overdue(shutdown.clone()) => Ok(()),
    };
    if ended.is_ok() {
        holder.release().await;
    }
    ended
}

/// Waits until an end that was asked for is overdue: the Lease is given back before the pod is killed.
async fn overdue(shutdown: Shutdown) {
    shutdown.asked_owned().await;
    tokio::time::sleep(GRACE).await;
    tracing::warn!(
        "some passes did not end in time; they are dropped, and done again by who comes next"
    );
}

/// The definitions, then the three controllers. Each ends when shutdown is asked for and its running passes are done.
async fn work(
    settings: &Settings,
    client: Client,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    if settings.install_crds {
        crd_install::install(&client).await?;
    }
    let reporter = Reporter {
        controller: "warren-operator".to_owned(),
        instance: Some(settings.pod_name.clone()),
    };
    let events = Events::new(client.clone(), reporter);
    let (tenants, tenants_writer) = reflector::store();
    let (data_stores, data_stores_writer) = reflector::store();
    let context = Arc::new(Context {
        client: client.clone(),
        settings: Arc::new(settings.clone()),
        events: events.clone(),
        metrics,
        failures: Arc::new(Failures::default()),
        connections: Arc::new(Connections::default()),
        tenants,
        data_stores,
        now: Timestamp::now,
    });
    let inside = Tenants {
        client,
        events,
        agent_image: settings.defaults.images.konnectivity_agent.clone(),
        reach: settings.reach,
        probing: Probing::default(),
    };
    tokio::join!(
        watches::tenant_control_planes(&context, tenants_writer, shutdown.clone()),
        watches::data_stores(&context, data_stores_writer, shutdown.clone()),
        tenant::run(inside, shutdown.asked_owned()),
    );
    tracing::info!("every pass is over");
    Ok(())
}
