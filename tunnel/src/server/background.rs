//! Everything that is not bytes: health, metrics, token reviews, the lease. It all runs on the control runtime.
//! In: the settings. Out: handles for the data thread. When it ends, the lease is gone.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::auth::{self, Checker, KeyFile, Proof, Reviewer};
use super::backends::Backends;
use super::leases::{self, Keeper};
use super::metrics::Metrics;
use super::settings::Settings;
use super::settings::tokens::{SecondOpinion, Strangers, TokenRule};
use super::status::Inside;
use crate::admin::{self, Answer, Pages};
use crate::drain::Watcher;
use crate::kube_client::KubeClient;
use crate::metrics::Registry;

/// A lease must not hold up the end.
const WITHDRAWAL: Duration = Duration::from_secs(5);

/// The tasks of the control runtime.
#[derive(Debug)]
pub(crate) struct Background {
    control: Handle,
    drain: Watcher,
    metrics: Metrics,
    services: JoinSet<()>,
    lease: JoinSet<()>,
}

impl Background {
    /// Nothing runs yet.
    pub(crate) fn new(control: Handle, drain: Watcher, metrics: Metrics) -> Self {
        Self {
            control,
            drain,
            metrics,
            services: JoinSet::new(),
            lease: JoinSet::new(),
        }
    }

    /// Starts the health and admin listeners.
    pub(crate) fn serve_pages(&mut self, settings: &Settings, registry: &Registry, inside: Inside) {
        let backends = inside.backends();
        let ready = |backends: Arc<Backends>, drain: Watcher| {
            move |_: &http::request::Parts| readiness(&backends, &drain)
        };
        let health = Pages::new()
            .with_liveness()
            .with_metrics(registry.clone())
            .at("/readyz", ready(Arc::clone(&backends), self.drain.clone()))
            .at("/ready", ready(backends, self.drain.clone()));
        let admin = Pages::new()
            .with_metrics(registry.clone())
            .with_status(move || inside.status());
        for (name, address, pages) in [
            ("health", &settings.health, health),
            ("admin", &settings.admin, admin),
        ] {
            let listener = admin::listen(name, address.clone(), pages, self.drain.clone());
            self.services.spawn_on(listener, &self.control);
        }
    }

    /// How agents prove themselves; starts the desk when the API server has a say in it.
    pub(crate) fn proof(&mut self, settings: &Settings, keys: Option<KeyFile>) -> Proof {
        let Some(rule) = &settings.agents.token else {
            return without_tokens(settings);
        };
        let (Some(key), Some(keys)) = (&rule.key, keys) else {
            return Proof::Review(self.reviewer(settings, rule), rule.binding);
        };
        let reviewer = match key.opinion {
            SecondOpinion::None => None,
            SecondOpinion::Background => Some(self.reviewer(settings, rule)),
        };
        let checker = Checker::new(keys, rule.for_key(key), reviewer, self.metrics.clone());
        Proof::Key(checker, rule.binding)
    }

    fn reviewer(&mut self, settings: &Settings, rule: &TokenRule) -> Reviewer {
        let (limits, metrics) = (settings.limits.reviews, self.metrics.clone());
        let (reviewer, desk) = auth::desk(rule.clone(), limits, kube(settings), metrics);
        self.services.spawn_on(desk.run(), &self.control);
        reviewer
    }

    /// Starts the lease if there is one; gives the number of live servers, 0 as long as nobody counts.
    pub(crate) fn keep_lease(&mut self, settings: &Settings) -> watch::Receiver<usize> {
        let (live, counted) = watch::channel(0);
        if let Some(leases) = &settings.leases {
            let (id, metrics) = (settings.server_id.clone(), self.metrics.leases.clone());
            let keeper = Keeper::new(kube(settings), id, leases, metrics);
            let kept = leases::keep(keeper, live, self.drain.clone());
            self.lease.spawn_on(kept, &self.control);
        }
        counted
    }

    /// Ends everything; the lease's withdrawal, begun with the drain, is waited for.
    pub(crate) async fn end(mut self) {
        drop(tokio::time::timeout(WITHDRAWAL, self.lease.join_next()).await);
        self.services.shutdown().await;
    }
}

fn without_tokens(settings: &Settings) -> Proof {
    if settings.agents.tls.client_ca.is_some() {
        return Proof::Handshake;
    }
    match settings.agents.strangers {
        Strangers::Admit => {
            tracing::warn!(
                "everybody who reaches the agent port is an agent: set --cluster-ca-cert, or --agent-namespace, \
                 --agent-service-account and --authentication-audience, or --allow-unauthenticated-agents=false"
            );
            Proof::Handshake
        }
        Strangers::Refuse => {
            tracing::warn!(
                "every agent will be refused: set --cluster-ca-cert, or --agent-namespace, \
                 --agent-service-account and --authentication-audience"
            );
            Proof::Impossible
        }
    }
}

fn kube(settings: &Settings) -> Arc<KubeClient> {
    Arc::new(KubeClient::new(settings.kubernetes.kubeconfig.clone()))
}

fn readiness(backends: &Backends, drain: &Watcher) -> Answer {
    if drain.is_draining() {
        admin::text(StatusCode::INTERNAL_SERVER_ERROR, "draining")
    } else if backends.is_ready() {
        admin::text(StatusCode::OK, "ok")
    } else {
        admin::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "no connection to any proxy agent",
        )
    }
}
