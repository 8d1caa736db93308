//! A worker: a machine that joins a cluster as an administrator would join it, with `kubeadm join`.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::wait::{Seen, until};
use crate::{network, node};

/// Arguments of a `kubeadm join`: where, the token, and the pin of the cluster's authority.
#[derive(Debug, Clone)]
pub struct Join(Vec<String>);

impl Join {
    /// Makes a bootstrap token as an administrator of the cluster does.
    pub async fn create(cluster: &Cluster) -> Result<Self> {
        let printed = cluster
            .program("kubeadm")
            .args(["token", "create", "--print-join-command"])
            .run()
            .await?;
        let words: Vec<_> = printed.split_whitespace().map(str::to_owned).collect();
        match words.split_first() {
            Some((program, rest)) if program == "kubeadm" => Ok(Self(rest.to_vec())),
            _ => Err(Error::Unexpected {
                what: "`kubeadm token create --print-join-command`".into(),
                expected: "a line that starts with kubeadm".into(),
                found: printed,
            }),
        }
    }
}

/// Joins a booted machine, whose container runtime answers, to the cluster the token is for.
pub async fn join(machine: &Machine, index: u8, Join(words): &Join) -> Result<()> {
    let name = machine.name().to_owned();
    let kubeadm = machine
        .command(["kubeadm"])
        .args(words)
        .args([
            "--node-name",
            &name,
            "--cri-socket=unix:///run/containerd/containerd.sock",
            "--ignore-preflight-errors=all",
        ])
        .limit(Duration::from_mins(5));
    let (joined, started) =
        tokio::join!(kubeadm.run(), start_kubelet_when_configured(machine, index));
    started?;
    joined.map(drop).map_err(|error| Error::Missing {
        what: format!("node {name} in the cluster"),
        remedy: format!(
            "{}\nkubelet's log ends with:\n{}",
            error.chain(),
            machine.log_tail("kubelet")
        ),
    })
}

/// kubeadm writes the kubelet's configuration, finds no service manager to start it with, and waits for it: that is us.
async fn start_kubelet_when_configured(machine: &Machine, index: u8) -> Result<()> {
    let flags = machine.path("/var/lib/kubelet/kubeadm-flags.env");
    until(
        "kubeadm has configured the kubelet",
        Duration::from_mins(2),
        async || {
            Ok(if flags.exists() {
                Seen::Yes(())
            } else {
                Seen::NotYet("no kubeadm-flags.env".into())
            })
        },
    )
    .await?;
    let address = format!("--node-ip={}", network::worker_address(index));
    let identity = [
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
        &address,
    ];
    node::start_kubelet(machine, &identity).await
}

/// Starts kube-proxy as a process, with the administrator's rights: for a tenant that has no kube-proxy addon.
pub async fn start_proxy(machine: &Machine, cluster: &Cluster) -> Result<()> {
    const KUBECONFIG: &str = "/etc/kubernetes/kube-proxy.conf";
    machine.write(KUBECONFIG, crate::place::read(cluster.kubeconfig())?)?;
    node::start_proxy(machine, KUBECONFIG, "10.244.0.0/16").await
}
