//! What a person needs after a failure: the machines' logs, and both clusters' pods, events and container logs.
//! It takes what it can get: the failure it is called for is the news, and is never replaced by one of its own.

use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::place::{Place, create_directory, remove_directory, write};
use crate::programs::Programs;

/// Collects everything below one folder and says where that is, and why something lacks if it does. The lab need not be
/// up, nor have come up.
pub async fn collect(place: &Place, occasion: &str) -> String {
    let folder = place.logs().join(occasion);
    let machines = remove_directory(&folder)
        .and_then(|()| copy_machine_logs(&place.state().join("machines"), &folder));
    let clusters = [
        ("management", place.state().join("management.kubeconfig")),
        ("tenant", place.demo().join("tenant.kubeconfig")),
    ];
    let mut outcomes = vec![machines];
    for (name, kubeconfig) in clusters {
        outcomes.push(cluster(place, kubeconfig, &folder.join(name)).await);
    }
    let failures = outcomes.into_iter().filter_map(Result::err);
    let incomplete = failures.map(|error| format!(" (incomplete: {})", error.chain()));
    folder.display().to_string() + &incomplete.collect::<String>()
}

/// One cluster's state, if there is such a cluster; what cannot be read is written down as such.
async fn cluster(place: &Place, kubeconfig: PathBuf, folder: &Path) -> Result<()> {
    if !kubeconfig.exists() {
        return Ok(());
    }
    let cluster = Cluster::new(kubeconfig, Programs::build(place).await?);
    let reports = [
        (
            "objects",
            "get nodes,pods,services,deployments,daemonsets,leases -A -o wide",
        ),
        ("events", "get events -A --sort-by=.lastTimestamp"),
        ("describe", "describe nodes,pods -A"),
        (
            "tenant-control-planes",
            "get tenantcontrolplanes,datastores -A -o yaml",
        ),
        (
            "describe-tenant-control-planes",
            "describe tenantcontrolplanes,datastores -A",
        ),
    ];
    for (name, arguments) in reports {
        let finished = cluster
            .kubectl(arguments.split_whitespace())
            .args(["--request-timeout=20s"])
            .finish()
            .await;
        let text = finished.map_or_else(
            |error| error.chain(),
            |finished| finished.stdout + &finished.stderr,
        );
        write(&folder.join(format!("{name}.txt")), text)?;
    }
    container_logs(&cluster, folder).await
}

/// The logs of every container, of the one before it too.
async fn container_logs(cluster: &Cluster, folder: &Path) -> Result<()> {
    let names = "{range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}";
    let pods = cluster
        .kubectl(["get", "pods", "-A", "-o", &format!("jsonpath={names}")])
        .finish()
        .await?;
    for (namespace, pod) in pods.stdout.lines().filter_map(|line| line.split_once(' ')) {
        for (suffix, previous) in [
            ("log", "--previous=false"),
            ("previous.log", "--previous=true"),
        ] {
            let logs = [
                "-n",
                namespace,
                "logs",
                pod,
                "--all-containers",
                "--prefix",
                "--tail=2000",
                previous,
                "--request-timeout=20s",
            ];
            let finished = cluster.kubectl(logs).finish().await?;
            if finished.status.success() {
                write(
                    &folder.join(format!("{namespace}-{pod}.{suffix}")),
                    finished.stdout,
                )?;
            }
        }
    }
    Ok(())
}

fn copy_machine_logs(machines: &Path, folder: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(machines) else {
        return Ok(());
    };
    for machine in entries.filter_map(std::result::Result::ok) {
        let target = folder.join("machines").join(machine.file_name());
        create_directory(&target)?;
        let logs = machine.path().join("logs");
        for log in std::fs::read_dir(&logs)
            .into_iter()
            .flatten()
            .filter_map(std::result::Result::ok)
        {
            std::fs::copy(log.path(), target.join(log.file_name()))
                .map_err(Error::file("copy", log.path()))?;
        }
    }
    Ok(())
}
