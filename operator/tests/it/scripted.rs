//! The management side against an API server that answers as the test says: the order of calls, and what comes of
//! conflicts, refusals and failures. What a real one does is in `management.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use operator::api::TenantControlPlane;
use operator::context::Context;
use operator::tenant_control_plane::{Error, error_policy, reconcile};
use serde_json::{Value, json};

use crate::support::management::context;
use crate::support::manifest;

/// What a scripted server answers: a status and a body, or nothing special.
type Answer = Option<(StatusCode, Value)>;
/// What was noted, in order.
type Noted<T> = Arc<Mutex<Vec<T>>>;
type Script = dyn Fn(&Method, &str) -> Answer + Send + Sync;

/// A server that holds one tenant control plane, and otherwise nothing.
struct Server {
    calls: Noted<String>,
    written: Noted<Value>,
    ctx: Arc<Context>,
}

const NAME: &str = "alpha";

fn tcp() -> TenantControlPlane {
    let mut tcp: TenantControlPlane = manifest(
        r"
apiVersion: kamaji.clastix.io/v1alpha1
kind: TenantControlPlane
metadata: {name: alpha, namespace: tenants, uid: 7f1e, resourceVersion: '5', generation: 1}
spec:
  controlPlane: {deployment: {replicas: 1}, service: {serviceType: ClusterIP}}
  kubernetes: {version: v1.33.0}
  networkProfile: {port: 6443, address: 192.0.2.1}
",
    );
    tcp.metadata.finalizers = Some(vec!["finalizer.kamaji.clastix.io".to_owned()]);
    tcp
}

#[expect(clippy::unnecessary_wraps, reason = "it is an answer of a script")]
fn refusal(code: u16, reason: &str, message: &str, retry_after: u32) -> Answer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
        "details": { "retryAfterSeconds": retry_after },
    });
    Some((StatusCode::from_u16(code).unwrap(), body))
}

impl Server {
    fn start(
        held: TenantControlPlane,
        script: impl Fn(&Method, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (calls, written) = (Noted::<String>::default(), Noted::<Value>::default());
        let script: Arc<Script> = Arc::new(script);
        let held = serde_json::to_value(held).unwrap();
        let (noted, bodies) = (Arc::clone(&calls), Arc::clone(&written));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (script, held) = (Arc::clone(&script), held.clone());
            let (noted, bodies) = (Arc::clone(&noted), Arc::clone(&bodies));
            async move {
                let (parts, body) = request.into_parts();
                let path = parts.uri.path().to_owned();
                let body: Value =
                    serde_json::from_slice(&body.collect_bytes().await?).unwrap_or_default();
                noted
                    .lock()
                    .unwrap()
                    .push(format!("{} {path}", parts.method));
                let (status, answer) = script(&parts.method, &path)
                    .unwrap_or_else(|| usual(&parts.method, &path, &body, &held));
                if parts.method != Method::GET {
                    bodies.lock().unwrap().push(body);
                }
                let bytes = serde_json::to_vec(&answer).unwrap();
                Ok::<_, kube::Error>(
                    Response::builder()
                        .status(status)
                        .body(Body::from(bytes))
                        .unwrap(),
                )
            }
        });
        Self {
            calls,
            written,
            ctx: context(Client::new(service, "tenants")),
        }
    }

    async fn pass(&self) -> Result<Action, Error> {
        reconcile(Arc::new(tcp()), Arc::clone(&self.ctx)).await
    }

    /// What was called, without reads and Events, by the end of the path.
    fn writes(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let writes = calls
            .iter()
            .filter(|call| !call.starts_with("GET") && !call.contains("/events"));
        writes
            .map(|call| {
                call.rsplit_once("/tenants/")
                    .map_or(call.as_str(), |(_, end)| end)
                    .to_owned()
            })
            .collect()
    }

    /// The condition of that type in the last status that was written.
    fn told(&self, kind: &str) -> (String, String) {
        let written = self.written.lock().unwrap();
        let status = written
            .iter()
            .rev()
            .find(|body| !body["status"].is_null())
            .expect("a status was written");
        let conditions = status["status"]["conditions"].as_array().unwrap();
        let held = conditions
            .iter()
            .find(|held| held["type"] == kind)
            .expect("the condition is there");
        (
            held["reason"].as_str().unwrap().to_owned(),
            held["message"].as_str().unwrap().to_owned(),
        )
    }
}

/// What a server does that holds nothing but the tenant control plane: it takes what is applied.
fn usual(method: &Method, path: &str, body: &Value, held: &Value) -> (StatusCode, Value) {
    let is_list = !path.contains(&format!("/{NAME}")) && !path.contains("/datastores/");
    match *method {
        Method::GET if path.contains("/tenantcontrolplanes/") => (StatusCode::OK, held.clone()),
        Method::GET if is_list => (
            StatusCode::OK,
            json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": [] }),
        ),
        Method::GET | Method::DELETE => refusal(404, "NotFound", "not found", 0).unwrap(),
        _ if path.contains("/tenantcontrolplanes/") => (StatusCode::OK, held.clone()),
        _ => (StatusCode::OK, body.clone()),
    }
}

#[tokio::test]
async fn what_pods_read_is_applied_before_what_reads_it_and_the_status_comes_last() {
    let server = Server::start(tcp(), |_, _| None);
    server.pass().await.unwrap();
    let writes = server.writes();
    assert_eq!(writes.first().unwrap(), "services/alpha");
    assert_eq!(writes[1], "configmaps/alpha-kubeadmconfig");
    assert_eq!(writes.last().unwrap(), "tenantcontrolplanes/alpha/status");
    assert_eq!(
        writes
            .iter()
            .filter(|write| write.starts_with("tenantcontrolplanes/"))
            .count(),
        1
    );
    assert!(
        !writes.iter().any(|write| write.starts_with("deployments/")),
        "no store, no pods: {writes:?}"
    );
    assert_eq!(server.told("DataStoreReady").0, "DataStoreNotFound");
}

#[tokio::test]
async fn a_finalizer_comes_before_anything_that_would_have_to_be_cleaned_up() {
    let mut fresh = tcp();
    fresh.metadata.finalizers = None;
    let server = Server::start(fresh.clone(), |_, _| None);
    server.pass().await.unwrap();
    assert_eq!(
        server.writes().first().unwrap(),
        "tenantcontrolplanes/alpha"
    );

    let conflict = Server::start(fresh, |method, path| {
        let is_finalizer = *method == Method::PATCH && path.ends_with("/tenantcontrolplanes/alpha");
        if is_finalizer {
            refusal(409, "Conflict", "the object has been modified", 0)
        } else {
            None
        }
    });
    let error = conflict.pass().await.unwrap_err();
    assert!(matches!(error, Error::Finalizer(_)), "{error}");
    let writes = conflict.writes();
    assert_eq!(
        writes,
        [
            "tenantcontrolplanes/alpha",
            "tenantcontrolplanes/alpha/status"
        ],
        "nothing is made without it"
    );
}

#[tokio::test]
async fn a_failure_is_reported_and_stops_what_depends_on_it() {
    let server = Server::start(tcp(), |method, path| {
        let fails = *method == Method::PATCH && path.ends_with("/secrets/alpha-ca");
        if fails {
            refusal(500, "InternalError", "etcdserver: request timed out", 0)
        } else {
            None
        }
    });
    let error = server.pass().await.unwrap_err();
    assert_eq!(error.as_str(), "apply_failed");
    let writes = server.writes();
    assert_eq!(writes.last().unwrap(), "tenantcontrolplanes/alpha/status");
    assert!(
        !writes.iter().any(|write| write.contains("kubeconfig")),
        "{writes:?}"
    );
    let (reason, message) = server.told("Progressing");
    assert_eq!(reason, "ReconcileFailed");
    assert!(
        message.contains("Secret tenants/alpha-ca") && message.contains("request timed out"),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let server = Server::start(tcp(), |method, path| {
        let is_busy = *method == Method::PATCH && path.ends_with("/services/alpha");
        if is_busy {
            refusal(429, "TooManyRequests", "too many requests", 17)
        } else {
            None
        }
    });
    let error = server.pass().await.unwrap_err();
    let action = error_policy(Arc::new(tcp()), &error, Arc::clone(&server.ctx));
    assert_eq!(action, Action::requeue(Duration::from_secs(17)));
}

#[tokio::test]
async fn a_list_that_expired_is_read_again_later_and_nothing_is_made_meanwhile() {
    let server = Server::start(tcp(), |method, path| {
        let is_list = *method == Method::GET && path.ends_with("/secrets");
        if is_list {
            refusal(
                410,
                "Expired",
                "the provided continue parameter is too old",
                0,
            )
        } else {
            None
        }
    });
    let error = server.pass().await.unwrap_err();
    assert_eq!(error.as_str(), "observe_failed");
    let action = error_policy(Arc::new(tcp()), &error, Arc::clone(&server.ctx));
    assert_eq!(action, Action::requeue(Duration::from_secs(1)));
    assert_eq!(
        server.writes(),
        ["tenantcontrolplanes/alpha/status"],
        "an authority that was not seen is not made anew"
    );
    assert!(server.told("Progressing").1.contains("too old (410)"));
}

#[tokio::test]
async fn failures_wait_longer_each_time_and_success_starts_over() {
    let server = Server::start(tcp(), |method, path| {
        let fails = *method == Method::PATCH && path.ends_with("/services/alpha");
        if fails {
            refusal(409, "Conflict", "the object has been modified", 0)
        } else {
            None
        }
    });
    let mut delays = Vec::new();
    for _attempt in 0..3 {
        let error = server.pass().await.unwrap_err();
        delays.push(error_policy(
            Arc::new(tcp()),
            &error,
            Arc::clone(&server.ctx),
        ));
    }
    let expected = [1, 2, 4].map(|seconds| Action::requeue(Duration::from_secs(seconds)));
    assert_eq!(delays, expected);
}

#[tokio::test]
async fn an_object_that_is_gone_needs_nothing() {
    let server = Server::start(tcp(), |_, path| {
        path.ends_with("/tenantcontrolplanes/alpha")
            .then(|| refusal(404, "NotFound", "not found", 0))
            .flatten()
    });
    assert_eq!(server.pass().await.unwrap(), Action::await_change());
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_status_that_cannot_be_written_does_not_hide_what_failed_before() {
    let server = Server::start(tcp(), |method, path| {
        let fails = *method == Method::PATCH
            && (path.ends_with("/status") || path.ends_with("/services/alpha"));
        if fails {
            refusal(500, "InternalError", "no", 0)
        } else {
            None
        }
    });
    let error = server.pass().await.unwrap_err();
    assert_eq!(error.as_str(), "apply_failed");
}

#[tokio::test]
async fn a_broken_manifest_names_every_mistake_and_changes_nothing() {
    let mut broken = tcp();
    broken.spec.kubernetes.version = "1.33".to_owned();
    broken.spec.network_profile.address = Some("nowhere".to_owned());
    let server = Server::start(broken, |_, _| None);
    let error = server.pass().await.unwrap_err();
    assert_eq!(error.as_str(), "invalid");
    assert_eq!(server.writes(), ["tenantcontrolplanes/alpha/status"]);
    let (reason, message) = server.told("Ready");
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.contains("spec.kubernetes.version")
            && message.contains("spec.networkProfile.address"),
        "{message}"
    );
}

#[tokio::test]
async fn a_name_that_another_controller_keeps_is_not_taken() {
    let server = Server::start(tcp(), |method, path| {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "alpha", "namespace": "tenants", "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other", "uid": "1", "controller": true,
            }]},
        });
        (*method == Method::GET && path.ends_with("/services/alpha"))
            .then_some((StatusCode::OK, service))
    });
    server.pass().await.unwrap_err();
    assert_eq!(server.writes(), ["tenantcontrolplanes/alpha/status"]);
    let (reason, message) = server.told("Ready");
    assert_eq!(reason, "NameTaken");
    assert!(message.contains("StatefulSet other"), "{message}");
}
