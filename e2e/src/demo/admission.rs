//! An admission webhook served from the tenant's worker, which kube-apiserver can only call through the tunnel.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::cluster::Cluster;
use crate::demo::rows::random;
use crate::error::{Error, Result, expect_contains};
use crate::image::workload::TEST_IMAGE;

const HOST: &str = "denier.default.svc";

/// A webhook that denies every `ConfigMap` labelled `denied`, in words of its own.
#[derive(Debug)]
pub struct Webhook {
    text: String,
}

impl Webhook {
    /// Starts its pod and registers it.
    pub async fn start(tenant: &Cluster) -> Result<Self> {
        Self::remove(tenant).await?;
        let text = format!("denied by {}", random());
        let certificate =
            rcgen::generate_simple_self_signed([HOST.to_owned()]).map_err(|error| {
                Error::Unexpected {
                    what: "the webhook's certificate".into(),
                    expected: "one".into(),
                    found: error.to_string(),
                }
            })?;
        let (certificate, key) = (
            certificate.cert.pem(),
            certificate.signing_key.serialize_pem(),
        );
        for object in [
            secret(&certificate, &key),
            pod(&text),
            service(),
            registration(&certificate),
        ] {
            tenant.apply(&object.to_string()).await?;
        }
        tenant.wait_pod_ready("default", "denier").await?;
        Ok(Self { text })
    }

    /// Creates what the webhook denies, and returns the API server's refusal.
    pub async fn denies(&self, tenant: &Cluster) -> Result<String> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "generateName": "denied-", "namespace": "default", "labels": { "denied": "true" } },
        });
        let finished = tenant
            .kubectl(["create", "-f", "-"])
            .input(object.to_string())
            .finish()
            .await?;
        expect_contains("the API server's answer", &finished.stderr, &self.text)?;
        if finished.status.success() {
            return Err(Error::Unexpected {
                what: "kubectl create".into(),
                expected: "a refusal".into(),
                found: finished.stdout,
            });
        }
        Ok(finished
            .stderr
            .rsplit("request: ")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned())
    }

    /// Takes it away again, or nothing labelled so could ever be created.
    pub async fn remove(tenant: &Cluster) -> Result<()> {
        let objects =
            "validatingwebhookconfiguration/denier pod/denier service/denier secret/denier";
        tenant
            .kubectl(["delete", "--ignore-not-found", "--now"])
            .args(objects.split(' '))
            .run()
            .await
            .map(drop)
    }
}

fn secret(certificate: &str, key: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "denier", "namespace": "default" },
        "type": "kubernetes.io/tls",
        "data": { "tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key) },
    })
}

fn pod(text: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "denier", "namespace": "default", "labels": { "app": "denier" } },
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app",
                "image": TEST_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/testapp", "-listen", ":8443", "-deny", text, "-certificate", "/tls/tls.crt", "-key", "/tls/tls.key"],
                "readinessProbe": { "httpGet": { "port": 8443, "path": "/", "scheme": "HTTPS" }, "periodSeconds": 1 },
                "volumeMounts": [{ "name": "tls", "mountPath": "/tls" }],
            }],
            "volumes": [{ "name": "tls", "secret": { "secretName": "denier" } }],
        },
    })
}

fn service() -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "denier", "namespace": "default" },
        "spec": { "selector": { "app": "denier" }, "ports": [{ "port": 443, "targetPort": 8443 }] },
    })
}

fn registration(certificate: &str) -> serde_json::Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "denier" },
        "webhooks": [{
            "name": "denier.warren.example",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "objectSelector": { "matchLabels": { "denied": "true" } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"] }],
            "clientConfig": {
                "service": { "name": "denier", "namespace": "default", "path": "/validate" },
                "caBundle": STANDARD.encode(certificate),
            },
        }],
    })
}
