//! The Deployment: checksums of the inputs as labels of the pods, every key in one volume, the sidecar with the
//! reference's flags.

use serde_json::{Value, json};

use super::{
    Contents, Former, PODS, PORT, SERVICES, TUNNEL_PORT, checksum, custom_resource, objects,
};
use crate::programs::KUBERNETES;

const PLUGINS: &str = "CertificateApproval,CertificateSigning,CertificateSubjectRestriction,DefaultIngressClass,\
    DefaultStorageClass,DefaultTolerationSeconds,LimitRanger,MutatingAdmissionWebhook,NamespaceLifecycle,\
    PersistentVolumeClaimResize,Priority,ResourceQuota,RuntimeClass,ServiceAccount,StorageObjectInUseProtection,\
    TaintNodesByCondition,ValidatingAdmissionWebhook";

/// The system's folders of certificates, over which the tenant's authority is mounted.
const TRUSTED: [(&str, &str); 3] = [
    ("etc-ca-certificates", "/etc/ca-certificates"),
    ("usr-share-ca-certificates", "/usr/share/ca-certificates"),
    (
        "usr-local-share-ca-certificates",
        "/usr/local/share/ca-certificates",
    ),
];

/// The Deployment.
pub(super) fn deployment(former: &Former, contents: &Contents) -> Value {
    let name = &former.name;
    let annotation = |secret| sum(contents, secret);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": objects::head(name, &former.uid, name, "deployment"),
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "kamaji.clastix.io/name": name } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "100%", "maxUnavailable": 0 } },
            "template": {
                "metadata": {
                    "labels": labels(former, contents),
                    "annotations": {
                        "storage.kamaji.clastix.io/config": annotation("datastore-config"),
                        "storage.kamaji.clastix.io/certificate": annotation("datastore-certificate"),
                    },
                },
                "spec": {
                    "serviceAccountName": "default",
                    "automountServiceAccountToken": false,
                    "containers": [api_server(former), scheduler(), controller_manager(former), tunnel(former)],
                    "volumes": volumes(former),
                },
            },
        },
    })
}

fn sum(contents: &Contents, secret: &str) -> String {
    let data = contents.get(secret).into_iter().flatten();
    checksum(data.map(|(_, text)| text))
}

fn labels(former: &Former, contents: &Contents) -> Value {
    let mut labels = json!({
        "kamaji.clastix.io/name": former.name,
        "kamaji.clastix.io/component": "deployment",
        "component.kamaji.clastix.io/datastore": "default",
    });
    for (input, secret) in [
        ("api-server-certificate", "api-server-certificate"),
        (
            "api-server-kubelet-client-certificate",
            "api-server-kubelet-client-certificate",
        ),
        ("ca", "ca"),
        (
            "controller-manager-kubeconfig",
            "controller-manager-kubeconfig",
        ),
        ("front-proxy-ca-certificate", "front-proxy-ca-certificate"),
        (
            "front-proxy-client-certificate",
            "front-proxy-client-certificate",
        ),
        ("service-account", "sa-certificate"),
        ("scheduler-kubeconfig", "scheduler-kubeconfig"),
    ] {
        if let Some(labels) = labels.as_object_mut() {
            let label = format!("component.kamaji.clastix.io/{input}");
            labels.insert(label, sum(contents, secret).into());
        }
    }
    labels
}

fn api_server(former: &Former) -> Value {
    let arguments = format!(
        "--advertise-address={address} --allow-privileged=true --authorization-mode=Node,RBAC \
         --client-ca-file=/etc/kubernetes/pki/ca.crt \
         --egress-selector-config-file=/etc/kubernetes/konnectivity/configurations/egress-selector-configuration.yaml \
         --enable-admission-plugins={PLUGINS} --enable-bootstrap-token-auth=true \
         --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt --etcd-certfile=/etc/kubernetes/pki/etcd/server.crt \
         --etcd-compaction-interval=0 --etcd-keyfile=/etc/kubernetes/pki/etcd/server.key --etcd-prefix=/{schema} \
         --etcd-servers=https://{store} --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt \
         --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key \
         --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname \
         --proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt \
         --proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key \
         --requestheader-allowed-names=front-proxy-client \
         --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt \
         --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
         --requestheader-username-headers=X-Remote-User --secure-port={PORT} \
         --service-account-issuer=https://kubernetes.default.svc.cluster.local \
         --service-account-key-file=/etc/kubernetes/pki/sa.pub \
         --service-account-signing-key-file=/etc/kubernetes/pki/sa.key --service-cluster-ip-range={SERVICES} \
         --tls-cert-file=/etc/kubernetes/pki/apiserver.crt --tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
        address = former.address,
        schema = former.schema(),
        store = former.store,
    );
    let mut mounts = vec![mount("etc-kubernetes-pki", "/etc/kubernetes/pki")];
    mounts.extend(TRUSTED.map(|(volume, path)| mount(volume, path)));
    mounts.push(mount(
        "egress-selector-configuration",
        "/etc/kubernetes/konnectivity/configurations",
    ));
    mounts.push(json!({ "name": "konnectivity-uds", "mountPath": "/run/konnectivity" }));
    kubernetes(
        "kube-apiserver",
        &arguments,
        &mounts,
        (PORT, "/livez", "/readyz"),
    )
}

fn scheduler() -> Value {
    let arguments = "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf \
        --authorization-kubeconfig=/etc/kubernetes/scheduler.conf --bind-address=0.0.0.0 \
        --kubeconfig=/etc/kubernetes/scheduler.conf --leader-elect=true";
    let mounts = [mount("scheduler-kubeconfig", "/etc/kubernetes")];
    kubernetes(
        "kube-scheduler",
        arguments,
        &mounts,
        (10259, "/healthz", "/healthz"),
    )
}

fn controller_manager(former: &Former) -> Value {
    let arguments = format!(
        "--allocate-node-cidrs=true --authentication-kubeconfig=/etc/kubernetes/controller-manager.conf \
         --authorization-kubeconfig=/etc/kubernetes/controller-manager.conf --bind-address=0.0.0.0 \
         --client-ca-file=/etc/kubernetes/pki/ca.crt --cluster-cidr={PODS} --cluster-name={name} \
         --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt --cluster-signing-key-file=/etc/kubernetes/pki/ca.key \
         --controllers=*,bootstrapsigner,tokencleaner --kubeconfig=/etc/kubernetes/controller-manager.conf \
         --leader-elect=true --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt \
         --root-ca-file=/etc/kubernetes/pki/ca.crt --service-account-private-key-file=/etc/kubernetes/pki/sa.key \
         --service-cluster-ip-range={SERVICES} --use-service-account-credentials=true",
        name = former.name,
    );
    let mut mounts = vec![
        mount("etc-kubernetes-pki", "/etc/kubernetes/pki"),
        mount("controller-manager-kubeconfig", "/etc/kubernetes"),
    ];
    mounts.extend(TRUSTED.map(|(volume, path)| mount(volume, path)));
    kubernetes(
        "kube-controller-manager",
        &arguments,
        &mounts,
        (10257, "/healthz", "/healthz"),
    )
}

fn kubernetes(
    name: &str,
    arguments: &str,
    mounts: &[Value],
    (port, live, ready): (u16, &str, &str),
) -> Value {
    let timings = custom_resource::probes();
    let probe = |path: &str, kind: &str| {
        let mut probe = json!({ "httpGet": { "path": path, "port": port, "scheme": "HTTPS" } });
        let timing = timings.get(kind).and_then(Value::as_object).cloned();
        if let Some(probe) = probe.as_object_mut() {
            probe.extend(timing.unwrap_or_default());
        }
        probe
    };
    json!({
        "name": name,
        "image": format!("registry.k8s.io/{name}:{KUBERNETES}"),
        "imagePullPolicy": "IfNotPresent",
        "command": [name],
        "args": words(arguments),
        "startupProbe": probe(live, "startup"),
        "livenessProbe": probe(live, "liveness"),
        "readinessProbe": probe(ready, "readiness"),
        "volumeMounts": mounts,
    })
}

fn tunnel(former: &Former) -> Value {
    let arguments = format!(
        "--admin-port=8133 --agent-namespace=kube-system --agent-port={TUNNEL_PORT} \
         --agent-service-account=konnectivity-agent --authentication-audience=system:konnectivity-server \
         --cluster-cert=/etc/kubernetes/pki/apiserver.crt --cluster-key=/etc/kubernetes/pki/apiserver.key \
         --health-port=8134 --kubeconfig=/etc/kubernetes/konnectivity-server.conf --mode=grpc --server-count=1 \
         --server-port=0 --uds-name=/run/konnectivity/konnectivity-server.socket"
    );
    let port =
        |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    json!({
        "name": "konnectivity-server",
        "image": former.tunnel_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/proxy-server"],
        "args": words(&arguments),
        "ports": [port("agentport", TUNNEL_PORT), port("adminport", 8133), port("healthport", 8134)],
        "livenessProbe": {
            "httpGet": { "path": "/healthz", "port": 8134, "scheme": "HTTP" },
            "initialDelaySeconds": 30,
            "timeoutSeconds": 60,
        },
        "volumeMounts": [
            mount("etc-kubernetes-pki", "/etc/kubernetes/pki"),
            {
                "name": "konnectivity-server-kubeconfig",
                "mountPath": "/etc/kubernetes/konnectivity-server.conf",
                "subPath": "konnectivity-server.conf",
                "readOnly": true,
            },
            { "name": "konnectivity-uds", "mountPath": "/run/konnectivity" },
        ],
    })
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn mount(volume: &str, path: &str) -> Value {
    json!({ "name": volume, "mountPath": path, "readOnly": true })
}

fn volumes(former: &Former) -> Vec<Value> {
    let secret = |suffix: &str| format!("{}-{suffix}", former.name);
    let file = |key: &str, path: &str| json!({ "key": key, "path": path });
    let part = |suffix: &str, files: &[&str]| {
        let items: Vec<_> = files.iter().map(|name| file(name, name)).collect();
        json!({ "secret": { "name": secret(suffix), "items": items } })
    };
    let mut volumes = vec![json!({ "name": "etc-kubernetes-pki", "projected": {
        "defaultMode": 420,
        "sources": [
            part("api-server-certificate", &["apiserver.crt", "apiserver.key"]),
            part("ca", &["ca.crt", "ca.key"]),
            part(
                "api-server-kubelet-client-certificate",
                &["apiserver-kubelet-client.crt", "apiserver-kubelet-client.key"],
            ),
            part("front-proxy-ca-certificate", &["front-proxy-ca.crt", "front-proxy-ca.key"]),
            part("front-proxy-client-certificate", &["front-proxy-client.crt", "front-proxy-client.key"]),
            part("sa-certificate", &["sa.pub", "sa.key"]),
            { "secret": { "name": secret("datastore-certificate"), "items": [
                file("ca.crt", "etcd/ca.crt"),
                file("server.crt", "etcd/server.crt"),
                file("server.key", "etcd/server.key"),
            ] } },
        ],
    } })];
    let whole = |volume: &str, suffix: &str| json!({ "name": volume, "secret": { "secretName": secret(suffix), "defaultMode": 420 } });
    volumes.extend(TRUSTED.map(|(volume, _)| whole(volume, "ca")));
    volumes.extend([
        whole("scheduler-kubeconfig", "scheduler-kubeconfig"),
        whole(
            "controller-manager-kubeconfig",
            "controller-manager-kubeconfig",
        ),
        json!({ "name": "konnectivity-uds", "emptyDir": { "medium": "Memory" } }),
        json!({ "name": "egress-selector-configuration", "configMap": {
            "name": secret("konnectivity-egress-selector-configuration"),
            "defaultMode": 420,
        } }),
        whole("konnectivity-server-kubeconfig", "konnectivity-kubeconfig"),
    ]);
    volumes
}
