//! The custom resource as Kamaji's webhook and controller leave it: every default written into the spec, both
//! finalizers, a status without conditions.

use serde_json::{Value, json};

use super::{Contents, Former, MANAGER, NAMESPACE, PODS, PORT, SERVICES, TUNNEL_PORT, checksum};
use crate::programs::KUBERNETES;

/// Not reconciled before the annotation goes: until then it is Kamaji's.
pub const PAUSED: &str = "kamaji.clastix.io/paused";

/// The object without its status.
pub fn tenant_control_plane(name: &str) -> Value {
    let schema = super::schema(name);
    json!({
        "apiVersion": "kamaji.clastix.io/v1alpha1",
        "kind": "TenantControlPlane",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": { PAUSED: MANAGER },
            "finalizers": ["finalizer.kamaji.clastix.io", "finalizer.kamaji.clastix.io/soot"],
        },
        "spec": {
            "dataStore": "default",
            "dataStoreSchema": schema,
            "dataStoreUsername": schema,
            "controlPlane": {
                "deployment": { "replicas": 1, "probes": probes() },
                "service": { "serviceType": "LoadBalancer" },
            },
            "kubernetes": { "version": KUBERNETES },
            "networkProfile": {
                "port": PORT,
                "clusterDomain": "cluster.local",
                "serviceCidrs": [SERVICES],
                "podCidrs": [PODS],
                "dnsServiceIPs": ["10.96.0.10"],
            },
            "addons": { "konnectivity": {
                "server": { "port": TUNNEL_PORT },
                "agent": { "mode": "DaemonSet" },
            } },
        },
    })
}

/// Timings that a user may state; Kamaji asks every ten seconds.
pub(super) fn probes() -> Value {
    json!({
        "startup": { "periodSeconds": 1, "failureThreshold": 120, "timeoutSeconds": 5 },
        "readiness": { "periodSeconds": 1, "timeoutSeconds": 5 },
        "liveness": { "timeoutSeconds": 10 },
    })
}

/// When all of it was made.
const THEN: &str = "2026-01-01T00:00:00Z";

/// Its status once everything runs.
pub fn status(former: &Former, contents: &Contents) -> Value {
    let secret = |suffix: &str| {
        let data = contents.get(suffix).into_iter().flatten();
        json!({
            "secretName": format!("{}-{suffix}", former.name),
            "checksum": checksum(data.map(|(_, text)| text)),
            "lastUpdate": THEN,
        })
    };
    let schema = former.schema();
    json!({ "status": {
        "observedGeneration": 1,
        "controlPlaneEndpoint": format!("{}:{PORT}", former.address),
        "storage": {
            "driver": "etcd",
            "dataStoreName": "default",
            "config": { "secretName": format!("{}-datastore-config", former.name) },
            "setup": { "schema": schema, "user": schema, "lastUpdate": THEN },
            "certificate": secret("datastore-certificate"),
        },
        "certificates": {
            "ca": secret("ca"),
            "apiServer": secret("api-server-certificate"),
            "apiServerKubeletClient": secret("api-server-kubelet-client-certificate"),
            "frontProxyCA": secret("front-proxy-ca-certificate"),
            "frontProxyClient": secret("front-proxy-client-certificate"),
            "sa": secret("sa-certificate"),
        },
        "kubeconfig": {
            "admin": secret("admin-kubeconfig"),
            "controllerManager": secret("controller-manager-kubeconfig"),
            "scheduler": secret("scheduler-kubeconfig"),
        },
        "kubeadmPhase": { "bootstrapToken": {
            "checksum": "d41d8cd98f00b204e9800998ecf8427e",
            "lastUpdate": THEN,
        } },
        "addons": { "konnectivity": {
            "enabled": true,
            "certificate": secret("konnectivity-certificate"),
            "kubeconfig": secret("konnectivity-kubeconfig"),
            "sa": of_agent(&json!({})),
            "clusterrolebinding": { "name": "system:konnectivity-server", "lastUpdate": THEN },
            "agent": of_agent(&json!({ "mode": "DaemonSet" })),
        } },
        "kubernetesResources": resources(former),
    } })
}

fn of_agent(more: &Value) -> Value {
    let named =
        json!({ "name": "konnectivity-agent", "namespace": "kube-system", "lastUpdate": THEN });
    both(named, more)
}

fn resources(former: &Former) -> Value {
    let named = |more: &Value| both(json!({ "name": former.name, "namespace": NAMESPACE }), more);
    json!({
        "version": { "version": KUBERNETES, "status": "Ready" },
        "deployment": named(&json!({
            "selector": format!("kamaji.clastix.io/name={}", former.name),
            "lastUpdate": THEN,
            "replicas": 1,
            "readyReplicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": 1,
        })),
        "service": named(&json!({
            "port": PORT,
            "loadBalancer": { "ingress": [{ "ip": former.address }] },
        })),
    })
}

fn both(mut one: Value, other: &Value) -> Value {
    if let (Some(one), Some(other)) = (one.as_object_mut(), other.as_object()) {
        one.extend(other.clone());
    }
    one
}
