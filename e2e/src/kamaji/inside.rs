//! What Kamaji leaves inside the tenant: kubeadm's phases, and the tunnel's agent.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Former, MANAGER, TUNNEL_PORT, certificates};
use crate::cluster::Cluster;
use crate::error::Result;
use crate::wait::{Seen, until};

/// Has kubeadm make what a node joins by, then makes the agent.
pub async fn furnish(tenant: &Cluster, former: &Former, folder: &Path) -> Result<()> {
    // kubeadm notes on the node of its own name where its container runtime is; Kamaji has none and leaves that out.
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": "node", "labels": { "kubernetes.io/hostname": "node" } },
    });
    until(
        "the tenant takes objects",
        Duration::from_secs(30),
        async || tenant.apply(&node.to_string()).await.map(Seen::Yes),
    )
    .await?;
    // Nodes read the folder's name, and it is that of the pods.
    let folders = (Path::new("/etc/kubernetes/pki"), &*former.name);
    let inside = certificates::configure(folder, "inside", former, folders)?;
    let access = format!("--kubeconfig={}", tenant.kubeconfig().display());
    for phase in [&["upload-config", "all"][..], &["bootstrap-token"]] {
        let init = tenant.program("kubeadm").args(["init", "phase"]);
        init.args(phase).args([&inside, &access]).run().await?;
    }
    tenant.kubectl(["delete", "node", "node"]).run().await?;
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": objects(former) });
    tenant.create(&objects, MANAGER).await
}

fn objects(former: &Former) -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let bound = |name: &str, role: &str, kind: &str| {
        json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": group, "kind": kind, "name": name }],
        })
    };
    vec![
        bound("kubeadm:cluster-admins", "cluster-admin", "Group"),
        agent(former),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": "konnectivity-agent", "namespace": "kube-system" },
        }),
        bound(
            "system:konnectivity-server",
            "system:auth-delegator",
            "User",
        ),
    ]
}

fn agent(former: &Former) -> Value {
    let labels = json!({ "k8s-app": "konnectivity-agent" });
    let arguments = [
        "-v=8".to_owned(),
        "--logtostderr=true".to_owned(),
        "--ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".to_owned(),
        format!("--proxy-server-host={}", former.address),
        format!("--proxy-server-port={TUNNEL_PORT}"),
        "--admin-server-port=8133".to_owned(),
        "--health-server-port=8134".to_owned(),
        "--service-account-token-path=/var/run/secrets/tokens/konnectivity-agent-token".to_owned(),
    ];
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": "konnectivity-agent", "namespace": "kube-system", "labels": labels },
        "spec": { "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels },
            "spec": {
                "priorityClassName": "system-cluster-critical",
                "nodeSelector": { "kubernetes.io/os": "linux" },
                "serviceAccountName": "konnectivity-agent",
                "tolerations": [{ "key": "CriticalAddonsOnly", "operator": "Exists" }],
                "containers": [{
                    "name": "konnectivity-agent",
                    "image": former.tunnel_image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/proxy-agent"],
                    "args": arguments,
                    "livenessProbe": {
                        "httpGet": { "path": "/healthz", "port": 8134 },
                        "initialDelaySeconds": 15,
                        "timeoutSeconds": 15,
                    },
                    "volumeMounts": [{
                        "name": "konnectivity-agent-token",
                        "mountPath": "/var/run/secrets/tokens",
                    }],
                }],
                "volumes": [{ "name": "konnectivity-agent-token", "projected": { "sources": [{
                    "serviceAccountToken": {
                        "path": "konnectivity-agent-token",
                        "audience": "system:konnectivity-server",
                        "expirationSeconds": 3600,
                    },
                }] } }],
            },
        } },
    })
}
