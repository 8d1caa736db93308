//! What a person needs after a failure: the machines' logs, and both clusters' pods, events and container logs.

use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::lab::Lab;
use crate::place::{create_directory, remove_directory, write};

/// Collects everything below one folder and returns its path.
pub async fn collect(lab: &Lab, occasion: &str) -> Result<PathBuf> {
    let folder = lab.place().logs().join(occasion);
    remove_directory(&folder)?;
    copy_machine_logs(&lab.place().state().join("machines"), &folder)?;
    cluster(lab.management(), &folder.join("management")).await?;
    let tenant = lab.place().demo().join("tenant.kubeconfig");
    if tenant.exists() {
        cluster(
            &Cluster::new(tenant, lab.programs().clone()),
            &folder.join("tenant"),
        )
        .await?;
    }
    Ok(folder)
}

/// One cluster's state; what cannot be read is written down as such.
async fn cluster(cluster: &Cluster, folder: &Path) -> Result<()> {
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
    ];
    for (name, arguments) in reports {
        let finished = cluster
            .kubectl(arguments.split_whitespace())
            .args(["--request-timeout=20s"])
            .finish()
            .await?;
        write(
            &folder.join(format!("{name}.txt")),
            finished.stdout + &finished.stderr,
        )?;
    }
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
