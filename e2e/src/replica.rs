//! One kube-apiserver of several: in, the address of its pod and kubectl's arguments; out, what it alone answers.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::command::Invocation;
use crate::error::Result;
use crate::lab::Lab;
use crate::wait::{Seen, until};
use crate::warren::Tenant;

/// Where the management machine keeps the tenant's kubeconfig.
const KUBECONFIG: &str = "/run/tenant.kubeconfig";

/// What may be asked for by kubectl within this.
const ANSWER: Duration = Duration::from_secs(20);
/// Where konnectivity-server shows its metrics, in its pod.
const METRICS: u16 = 8134;

/// kubectl against one pod, from the management machine, which reaches the pods.
pub async fn ask(
    whom: (&Lab, &Cluster),
    address: &str,
    arguments: &[&str],
    input: String,
) -> Result<String> {
    let kubectl = kubectl(whom, address, arguments)?;
    kubectl.input(input).limit(ANSWER).run().await
}

/// The same, to be run.
pub fn kubectl(
    (lab, tenant): (&Lab, &Cluster),
    address: &str,
    arguments: &[&str],
) -> Result<Invocation> {
    let machine = lab.management_machine();
    let kubeconfig = crate::place::read(tenant.kubeconfig())?;
    // Others may be reading it.
    if crate::place::read(&machine.path(KUBECONFIG)).ok().as_ref() != Some(&kubeconfig) {
        machine.write(KUBECONFIG, kubeconfig)?;
    }
    let (kubeconfig, server) = (
        format!("--kubeconfig={KUBECONFIG}"),
        format!("--server=https://{address}:6443"),
    );
    let command = [
        "kubectl",
        &kubeconfig,
        "--tls-server-name=kubernetes",
        &server,
    ];
    Ok(machine.command(command).args(arguments))
}

/// The metrics page of the konnectivity-server in one pod.
pub async fn metrics(lab: &Lab, pod: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/default/pods/{pod}:{METRICS}/proxy/metrics");
    lab.management()
        .kubectl(["get", "--raw", &path])
        .run()
        .await
}

/// Waits until every kube-apiserver reaches the node. Behind a load balancer an agent meets the servers one by one,
/// and may meet the same one several times.
pub async fn wait_all_reach(
    lab: &Lab,
    tenant: &Tenant,
    cluster: &Cluster,
    node: &str,
) -> Result<()> {
    let path = format!("--raw=/api/v1/nodes/{node}/proxy/healthz");
    for address in tenant.pod_addresses().await? {
        let what = format!("the kubelet through the kube-apiserver at {address}");
        until(&what, Duration::from_mins(1), async || {
            ask((lab, cluster), &address, &["get", &path], String::new())
                .await
                .map(|_ok| Seen::Yes(()))
        })
        .await?;
    }
    Ok(())
}
