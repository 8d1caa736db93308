//! The management cluster: etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes of one machine
//! that is its only node too. Certificates, kubeconfigs and CoreDNS come from kubeadm's own phases.

use std::time::Duration;

use serde_json::json;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::network::MANAGEMENT;
use crate::node;
use crate::place::Place;
use crate::programs::Programs;
use crate::wait::{Seen, until};

const PODS: &str = "10.200.0.0/24";
const ADMIN: &str = "/etc/kubernetes/super-admin.conf";
const CONFIGURATION: &str = "/etc/kubernetes/kubeadm.yaml";

const ETCD: &str = "etcd --name=management --data-dir=/var/lib/etcd/management \
    --listen-client-urls=https://127.0.0.1:2379 --advertise-client-urls=https://127.0.0.1:2379 \
    --listen-peer-urls=https://127.0.0.1:2380 --initial-advertise-peer-urls=https://127.0.0.1:2380 \
    --initial-cluster=management=https://127.0.0.1:2380 --client-cert-auth --peer-client-cert-auth \
    --cert-file=/etc/kubernetes/pki/etcd/server.crt --key-file=/etc/kubernetes/pki/etcd/server.key \
    --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt \
    --peer-key-file=/etc/kubernetes/pki/etcd/peer.key --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt \
    --unsafe-no-fsync --logger=zap --log-level=warn";

const API_SERVER: &str = "kube-apiserver --advertise-address=198.18.10.2 --secure-port=6443 \
    --etcd-servers=https://127.0.0.1:2379 --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt \
    --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key \
    --client-ca-file=/etc/kubernetes/pki/ca.crt --tls-cert-file=/etc/kubernetes/pki/apiserver.crt \
    --tls-private-key-file=/etc/kubernetes/pki/apiserver.key --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --enable-bootstrap-token-auth --allow-privileged \
    --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt \
    --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key --kubelet-preferred-address-types=InternalIP \
    --proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt \
    --proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key \
    --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file=/etc/kubernetes/pki/sa.pub --service-account-signing-key-file=/etc/kubernetes/pki/sa.key \
    --service-cluster-ip-range=10.112.0.0/16";

const CONTROLLER_MANAGER: &str = "kube-controller-manager --kubeconfig=/etc/kubernetes/controller-manager.conf \
    --authentication-kubeconfig=/etc/kubernetes/controller-manager.conf \
    --authorization-kubeconfig=/etc/kubernetes/controller-manager.conf --bind-address=127.0.0.1 --leader-elect=false \
    --controllers=*,bootstrapsigner,tokencleaner --use-service-account-credentials --root-ca-file=/etc/kubernetes/pki/ca.crt \
    --service-account-private-key-file=/etc/kubernetes/pki/sa.key --client-ca-file=/etc/kubernetes/pki/ca.crt \
    --cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt --cluster-signing-key-file=/etc/kubernetes/pki/ca.key \
    --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt --cluster-name=management";

const SCHEDULER: &str = "kube-scheduler --kubeconfig=/etc/kubernetes/scheduler.conf \
    --authentication-kubeconfig=/etc/kubernetes/scheduler.conf --authorization-kubeconfig=/etc/kubernetes/scheduler.conf \
    --bind-address=127.0.0.1 --leader-elect=false";

/// Starts the control plane on a booted machine and waits until it is ready; the result is an administrator's access.
pub async fn start_control_plane(
    place: &Place,
    programs: &Programs,
    machine: &Machine,
) -> Result<Cluster> {
    machine.write(CONFIGURATION, include_str!("management/kubeadm.yaml"))?;
    for phase in ["certs", "kubeconfig"] {
        kubeadm(
            machine,
            &["init", "phase", phase, "all", "--config", CONFIGURATION],
        )
        .await?;
    }
    for command in [ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER] {
        let argv: Vec<_> = command.split_whitespace().collect();
        machine
            .start(argv.first().copied().unwrap_or_default(), &argv)
            .await?;
    }
    let kubeconfig = place.state().join("management.kubeconfig");
    let copy = std::fs::copy(machine.path(ADMIN), &kubeconfig);
    copy.map_err(Error::file("copy", machine.path(ADMIN)))?;
    let cluster = Cluster::new(kubeconfig, programs.clone());
    let ready = until(
        "the management cluster's API server is ready",
        Duration::from_mins(2),
        async || {
            cluster
                .kubectl(["get", "--raw", "/readyz"])
                .run()
                .await
                .map(Seen::Yes)
        },
    );
    match ready.await {
        Ok(_) => Ok(cluster),
        Err(error) => Err(Error::Missing {
            what: "the management cluster's API server".into(),
            remedy: format!(
                "{}\n{}\n{}",
                error.chain(),
                machine.log_tail("etcd"),
                machine.log_tail("kube-apiserver")
            ),
        }),
    }
}

/// Makes the machine the cluster's node, with DNS for its pods, and waits until it is ready.
pub async fn start_node(machine: &Machine, cluster: &Cluster) -> Result<()> {
    machine.write(
        "/var/lib/kubelet/config.yaml",
        include_str!("management/kubelet.yaml"),
    )?;
    let address = format!("--node-ip={MANAGEMENT}");
    node::start_kubelet(
        machine,
        &[
            "--kubeconfig=/etc/kubernetes/kubelet.conf",
            "--config=/var/lib/kubelet/config.yaml",
            &address,
        ],
    )
    .await?;
    make_volumes(machine, cluster).await?;
    node::start_proxy(machine, ADMIN, "10.200.0.0/16").await?;
    let admins = "create clusterrolebinding kubeadm:cluster-admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins";
    cluster.kubectl(admins.split_whitespace()).run().await?;
    for phase in [
        &["bootstrap-token"][..],
        &["upload-config", "all"],
        &["addon", "coredns"],
    ] {
        kubeadm(
            machine,
            &[
                &["init", "phase"],
                phase,
                &["--config", CONFIGURATION, "--kubeconfig", ADMIN],
            ]
            .concat(),
        )
        .await?;
    }
    cluster
        .kubectl([
            "-n",
            "kube-system",
            "scale",
            "deployment/coredns",
            "--replicas=1",
        ])
        .run()
        .await?;
    cluster.wait_node_ready(machine.name()).await
}

/// A default storage class with a few volumes in the machine's own directories, made beforehand.
async fn make_volumes(machine: &Machine, cluster: &Cluster) -> Result<()> {
    let mut manifests = vec![json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "lab",
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": "kubernetes.io/no-provisioner",
        // The scheduler binds: a claim that is bound behind its back may leave the pod waiting for minutes.
        "volumeBindingMode": "WaitForFirstConsumer",
    })];
    for number in 1..=4 {
        let path = format!("/run/node/disk/volumes/{number}");
        machine
            .command(["install", "-d", "-m", "0777", &path])
            .run()
            .await?;
        manifests.push(json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": format!("lab-{number}") },
            "spec": {
                "capacity": { "storage": "20Gi" },
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "lab",
                "hostPath": { "path": path },
                "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                    { "key": "kubernetes.io/hostname", "operator": "In", "values": [machine.name()] },
                ] }] } },
            },
        }));
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
    cluster.apply(&list.to_string()).await.map(drop)
}

/// Starts containerd with the pod network of this cluster.
pub async fn start_runtime(machine: &Machine) -> Result<()> {
    node::start_runtime(machine, PODS).await
}

async fn kubeadm(machine: &Machine, arguments: &[&str]) -> Result<()> {
    machine
        .command(["kubeadm"])
        .args(arguments)
        .run()
        .await
        .map(drop)
}
