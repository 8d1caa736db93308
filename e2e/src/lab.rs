//! The whole lab: a management cluster with one node, and workers behind the firewall.

use std::path::{Path, PathBuf};

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::image::workload;
use crate::machine::Machine;
use crate::place::{Place, create_directory};
use crate::programs::Programs;
use crate::report::Table;
use crate::worker::{self, Join};
use crate::{cgroup, kernel, management, network, node, residue};

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    place: Place,
    programs: Programs,
    management: Machine,
    cluster: Cluster,
    images: Vec<PathBuf>,
}

impl Lab {
    /// Starts the lab from nothing; whatever an earlier one left is removed first.
    pub async fn up(place: &Place) -> Result<Self> {
        let programs = Programs::build(place).await?;
        let images = workload::archives(place, &programs).await?;
        down(place).await?;
        create_directory(&place.state())?;
        network::build().await?;
        kernel::prepare(place)?;
        cgroup::delegate()?;
        let machine = Machine::boot(place, &programs, "management").await?;
        let (cluster, runtime) = tokio::join!(
            management::start_control_plane(place, &programs, &machine),
            start_runtime(&machine, &images),
        );
        let cluster = cluster?;
        runtime?;
        management::start_node(&machine, &cluster).await?;
        start_load_balancer(place, &machine).await?;
        Ok(Self {
            place: place.clone(),
            programs,
            management: machine,
            cluster,
            images,
        })
    }

    /// The lab that is up already, if one is.
    pub async fn attach(place: &Place) -> Result<Option<Self>> {
        let programs = Programs::build(place).await?;
        let Some(management) = Machine::attach(place, &programs, "management")? else {
            return Ok(None);
        };
        let images = workload::archives(place, &programs).await?;
        let cluster = Cluster::new(
            place.state().join("management.kubeconfig"),
            programs.clone(),
        );
        Ok(Some(Self {
            place: place.clone(),
            programs,
            management,
            cluster,
            images,
        }))
    }

    /// The management cluster, as its administrator sees it.
    pub fn management(&self) -> &Cluster {
        &self.cluster
    }

    /// The machine of the management cluster.
    pub fn management_machine(&self) -> &Machine {
        &self.management
    }

    /// The lab's programs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Where the lab keeps things.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Gives the management cluster's node images from OCI archives.
    pub async fn import_images(&self, archives: &[PathBuf]) -> Result<()> {
        node::import_images(&self.management, &references(archives)).await
    }

    /// Starts a worker with a container runtime and these images beside the lab's own; it is in no cluster yet.
    /// `name` is `worker`, or `worker1` to `worker9`.
    pub async fn boot_worker(&self, name: &str, archives: &[PathBuf]) -> Result<Worker> {
        let index = name
            .bytes()
            .last()
            .filter(u8::is_ascii_digit)
            .map_or(0, |digit| digit - b'0');
        network::build_worker(name, index).await?;
        let machine = Machine::boot(&self.place, &self.programs, name).await?;
        let images: Vec<_> = self.images.iter().chain(archives).cloned().collect();
        node::start_runtime(&machine, &format!("10.244.{index}.0/24")).await?;
        node::import_images(&machine, &references(&images)).await?;
        Ok(Worker { machine, index })
    }

    /// A worker that an earlier run started.
    pub fn worker(&self, name: &str) -> Result<Option<Worker>> {
        let index = name
            .bytes()
            .last()
            .filter(u8::is_ascii_digit)
            .map_or(0, |digit| digit - b'0');
        Ok(Machine::attach(&self.place, &self.programs, name)?
            .map(|machine| Worker { machine, index }))
    }

    /// Removes a worker: its machine, its network, its files.
    pub async fn remove_worker(&self, name: &str) -> Result<()> {
        if let Some(worker) = self.worker(name)? {
            worker.machine.halt().await?;
        }
        network::remove_worker(name).await?;
        cgroup::remove(&[name.to_owned()]).await?;
        crate::place::remove_directory(&self.place.machine(name))
    }
}

/// A machine that is, or will be, a node of a tenant cluster.
#[derive(Debug)]
pub struct Worker {
    machine: Machine,
    index: u8,
}

impl Worker {
    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The address of its kubelet, which management cannot reach.
    pub fn address(&self) -> String {
        network::worker_address(self.index)
    }

    /// Joins the cluster with `kubeadm join` and waits until the node is ready.
    pub async fn join(&self, cluster: &Cluster) -> Result<()> {
        let token = Join::create(cluster).await?;
        worker::join(&self.machine, self.index, &token).await?;
        cluster.wait_node_ready(self.machine.name()).await
    }

    /// Runs kube-proxy beside the kubelet, for a cluster that brings none.
    pub async fn start_proxy(&self, cluster: &Cluster) -> Result<()> {
        worker::start_proxy(&self.machine, cluster).await
    }
}

/// Ends everything the lab started, in this run or an earlier one, and removes every trace but the cache; fails with
/// a list of what is left, if anything is.
pub async fn down(place: &Place) -> Result<()> {
    let machines = machines(place);
    for name in &machines {
        if let Some(init) = crate::process::Process::recorded(&place.machine(name).join("init"))? {
            init.kill().await?;
        }
    }
    network::remove(&machines).await?;
    cgroup::remove(&machines).await?;
    cgroup::restore().await?;
    kernel::restore(place)?;
    crate::place::remove_directory(&place.state())?;
    crate::place::remove_directory(&place.demo())?;
    residue::expect_none(place)
}

/// Which machines run, and which of their daemons.
pub async fn status(place: &Place) -> Result<String> {
    let programs = Programs::default();
    let mut table = Table::new(&["machine", "state", "daemons"]);
    for name in machines(place) {
        let Some(machine) = Machine::attach(place, &programs, &name)? else {
            table.row([name.as_str(), "down", ""]);
            continue;
        };
        let mut running = Vec::new();
        for unit in machine.units()? {
            let state = if machine.is_running(&unit).await? {
                ""
            } else {
                " (ended)"
            };
            running.push(unit + state);
        }
        table.row([name.as_str(), "up", &running.join(", ")]);
    }
    Ok(table.to_string())
}

/// The machines there are files of, and the two there may be namespaces of.
fn machines(place: &Place) -> Vec<String> {
    let mut names = vec!["management".to_owned(), "worker".to_owned()];
    let entries = std::fs::read_dir(place.state().join("machines"))
        .into_iter()
        .flatten();
    names.extend(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()));
    names.sort();
    names.dedup();
    names
}

async fn start_runtime(machine: &Machine, images: &[PathBuf]) -> Result<()> {
    management::start_runtime(machine).await?;
    node::import_images(machine, &references(images)).await
}

/// A copy of this program stands in for a cloud's load balancer.
async fn start_load_balancer(place: &Place, machine: &Machine) -> Result<()> {
    let copy = place.machine(machine.name()).join("lab");
    let program = std::env::current_exe().map_err(Error::file("find", "this program"))?;
    std::fs::copy(&program, &copy).map_err(Error::file("copy", &program))?;
    machine
        .start(
            "load-balancer",
            &[
                "/run/node/lab",
                "load-balancer",
                "/etc/kubernetes/super-admin.conf",
            ],
        )
        .await
}

fn references(paths: &[PathBuf]) -> Vec<&Path> {
    paths.iter().map(PathBuf::as_path).collect()
}
