//! The objects of the management cluster but the custom resource. In: whose they are, and the data of the Secrets. Out:
//! the objects. The order in which Kamaji makes them is kept.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Contents, Former, NAMESPACE, PODS, PORT, SERVICES, TUNNEL_PORT, checksum, deployment};
use crate::programs::KUBERNETES;

/// The Service, which is there before anything else: its address stands in certificates.
pub fn service(name: &str, uid: &str) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "port": port, "targetPort": port, "protocol": "TCP" });
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": head(name, uid, name, "service"),
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": true,
            "selector": { "kamaji.clastix.io/name": name },
            "ports": [port("kube-apiserver", PORT), port("konnectivity-server", TUNNEL_PORT)],
        },
    })
}

/// Everything that comes after it.
pub fn objects(former: &Former, contents: &Contents) -> Vec<Value> {
    let mut objects = vec![kubeadm_config(former)];
    let secrets = contents.iter();
    objects.extend(secrets.map(|(suffix, data)| secret(former, suffix, data)));
    objects.push(egress_selector(former));
    objects.push(deployment::deployment(former, contents));
    objects
}

/// Name, labels and owner.
pub(super) fn head(tenant: &str, uid: &str, name: &str, component: &str) -> Value {
    json!({
        "name": name,
        "namespace": NAMESPACE,
        "labels": {
            "kamaji.clastix.io/project": "kamaji",
            "kamaji.clastix.io/name": tenant,
            "kamaji.clastix.io/component": component,
        },
        "ownerReferences": [{
            "apiVersion": "kamaji.clastix.io/v1alpha1",
            "kind": "TenantControlPlane",
            "name": tenant,
            "uid": uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    })
}

fn secret(former: &Former, suffix: &str, data: &BTreeMap<&str, String>) -> Value {
    let name = format!("{}-{suffix}", former.name);
    let mut head = head(&former.name, &former.uid, &name, suffix);
    set(
        &mut head,
        "annotations",
        "kamaji.clastix.io/checksum",
        checksum(data.values()),
    );
    if let Some(kind) = life_cycle(suffix) {
        let label = "kamaji.clastix.io/certificate_lifecycle_controller";
        set(&mut head, "labels", label, kind.to_owned());
    }
    if let Some(fields) = head
        .as_object_mut()
        .filter(|_| suffix == "datastore-config")
    {
        let finalizers = json!(["finalizer.kamaji.clastix.io/datastore-secret"]);
        fields.insert("finalizers".into(), finalizers);
    }
    let data: BTreeMap<_, _> = data
        .iter()
        .map(|(key, text)| (*key, STANDARD.encode(text)))
        .collect();
    let kind = match suffix {
        "konnectivity-certificate" => "kubernetes.io/tls",
        _ => "Opaque",
    };
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": head, "type": kind, "data": data })
}

/// Which Secrets Kamaji watches for their age.
fn life_cycle(suffix: &str) -> Option<&'static str> {
    match suffix {
        "ca" | "front-proxy-ca-certificate" | "sa-certificate" | "datastore-config" => None,
        _ if suffix.ends_with("kubeconfig") => Some("kubeconfig"),
        _ => Some("x509"),
    }
}

fn kubeadm_config(former: &Former) -> Value {
    let init = json!({
        "LocalAPIEndpoint": { "AdvertiseAddress": former.address, "BindPort": PORT },
        "NodeRegistration": { "Name": "node" },
    });
    let cluster = json!({
        "ClusterName": former.name,
        "ControlPlaneEndpoint": format!("{}:{PORT}", former.address),
        "KubernetesVersion": KUBERNETES,
        "CertificatesDir": "/etc/kubernetes/pki",
        "Networking": { "DNSDomain": "cluster.local", "PodSubnet": PODS, "ServiceSubnet": SERVICES },
        "Etcd": { "External": { "Endpoints": [format!("https://{}", former.store)] } },
    });
    let data = [
        ("InitConfiguration", init.to_string()),
        ("ClusterConfiguration", cluster.to_string()),
    ];
    config_map(former, "kubeadmconfig", data)
}

/// One selection alone, over gRPC.
fn egress_selector(former: &Former) -> Value {
    const FILE: &str = "apiVersion: apiserver.k8s.io/v1beta1
egressSelections:
- connection:
    proxyProtocol: GRPC
    transport:
      uds:
        udsName: /run/konnectivity/konnectivity-server.socket
  name: cluster
kind: EgressSelectorConfiguration
";
    let data = [("egress-selector-configuration.yaml", FILE.to_owned())];
    config_map(former, "konnectivity-egress-selector-configuration", data)
}

fn config_map<const KEYS: usize>(
    former: &Former,
    suffix: &str,
    data: [(&str, String); KEYS],
) -> Value {
    let data = BTreeMap::from(data);
    let name = format!("{}-{suffix}", former.name);
    let mut head = head(&former.name, &former.uid, &name, suffix);
    set(
        &mut head,
        "annotations",
        "kamaji.clastix.io/checksum",
        checksum(data.values()),
    );
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data })
}

/// Sets one label or annotation.
fn set(head: &mut Value, field: &str, key: &str, value: String) {
    let fields = head.as_object_mut().map(|head| head.entry(field));
    let fields = fields.map(|entry| entry.or_insert_with(|| json!({})));
    if let Some(fields) = fields.and_then(Value::as_object_mut) {
        fields.insert(key.to_owned(), value.into());
    }
}
