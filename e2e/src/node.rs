//! What makes a machine a node: containerd, the pod network, the kubelet, kube-proxy.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::error::Result;
use crate::machine::Machine;
use crate::wait::{Seen, until};

/// Arguments that let kube-proxy leave alone what it may not write on a shared machine.
const SPARING: [&str; 3] = [
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
];

/// Starts containerd with a pod network whose pods have addresses in `pods`, and waits until it answers.
pub async fn start_runtime(machine: &Machine, pods: &str) -> Result<()> {
    machine.write(
        "/etc/containerd/config.toml",
        include_str!("node/containerd.toml"),
    )?;
    machine.write("/etc/cni/net.d/10-pods.conflist", pod_network(pods))?;
    machine.start("containerd", &["containerd"]).await?;
    let what = format!("containerd of {} answers", machine.name());
    let answered = until(&what, Duration::from_secs(30), async || {
        machine
            .command(["ctr", "version"])
            .run()
            .await
            .map(Seen::Yes)
    });
    answered.await.map(drop)
}

/// A link of its own to each pod, so that all traffic is routed and kube-proxy sees both ways.
fn pod_network(pods: &str) -> String {
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": true,
                "ipam": { "type": "host-local", "subnet": pods, "routes": [{ "dst": "0.0.0.0/0" }] },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    network.to_string()
}

/// Gives the node images from OCI archives.
pub async fn import_images(machine: &Machine, archives: &[&Path]) -> Result<()> {
    for archive in archives {
        let archive = archive.display().to_string();
        machine
            .command(["ctr", "--namespace", "k8s.io", "images", "import", &archive])
            .run()
            .await?;
    }
    Ok(())
}

/// Starts the kubelet; `identity` are the flags that say who it is and whose.
pub async fn start_kubelet(machine: &Machine, identity: &[&str]) -> Result<()> {
    let cgroup_root = format!("--cgroup-root=/warren-{}", machine.name());
    let host_name = format!("--hostname-override={}", machine.name());
    let mut argv = vec![
        "kubelet",
        &cgroup_root,
        &host_name,
        "--cgroup-driver=cgroupfs",
        "--fail-swap-on=false",
        "--enforce-node-allocatable=",
        "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        "--resolv-conf=/run/node/resolv.conf",
        // The disk and the memory are those of whoever runs the lab, and may be nearly full.
        "--eviction-hard=memory.available<50Mi,nodefs.available<50Mi,imagefs.available<50Mi",
        "--eviction-pressure-transition-period=10s",
        "--image-gc-high-threshold=100",
    ];
    argv.extend(identity);
    machine.start("kubelet", &argv).await
}

/// Starts kube-proxy as a process, with the rights of this kubeconfig (a path inside the machine).
pub async fn start_proxy(machine: &Machine, kubeconfig: &str, pods: &str) -> Result<()> {
    let kubeconfig = format!("--kubeconfig={kubeconfig}");
    let pods = format!("--cluster-cidr={pods}");
    let host_name = format!("--hostname-override={}", machine.name());
    let argv = [
        "kube-proxy",
        &kubeconfig,
        &pods,
        &host_name,
        "--proxy-mode=iptables",
    ];
    machine
        .start("kube-proxy", &[&argv[..], &SPARING].concat())
        .await
}
