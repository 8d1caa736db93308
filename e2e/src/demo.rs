//! The demo: Warren installed, a tenant from the documents' manifest, a worker nobody can dial, and what goes through the
//! tunnel read back, row by row.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::image::product::{self, Build};
use crate::lab::{Lab, Worker};
use crate::place::Place;
use crate::programs::Programs;
use crate::report::Table;
use crate::setup;
use crate::warren::{self, Tenant};

pub mod admission;
pub mod rows;

/// How long it may take when the programs are built and in the cache, and when they are not.
const WARM: Duration = Duration::from_mins(4);
const COLD: Duration = Duration::from_mins(30);

/// A demo that is up.
#[derive(Debug)]
pub struct Demo {
    /// The lab.
    pub lab: Lab,
    /// The tenant control plane.
    pub tenant: Tenant,
    /// The tenant cluster, as its administrator sees it.
    pub cluster: Cluster,
    /// The tenant's only worker.
    pub worker: Worker,
}

/// Brings everything up, shows the rows, and leaves it all running.
pub async fn run(place: &Place, build: Build) -> Result<()> {
    let start = Instant::now();
    let limit = if Programs::are_built(place)? && place.images().exists() {
        WARM
    } else {
        COLD
    };
    let demo = up(place, build).await?;
    tracing::info!(
        "from nothing to a tenant with a ready worker in {}",
        seconds(start.elapsed())
    );
    let shown = show(&demo).await;
    keep_logs(place, shown).await?;
    crate::report::say(&guide(&demo))?;
    crate::report::say_took("the demo", start.elapsed(), limit)
}

/// Shows the rows on a demo that is up.
pub async fn show(demo: &Demo) -> Result<()> {
    let mut table = Table::new(&["what", "shown", "took"]);
    for row in rows::all(demo).await? {
        table.row([row.what, &row.shown, &seconds(row.took)]);
    }
    crate::report::say(&table.to_string())
}

/// Passes a result on, after keeping what was to be seen when it is a failure.
pub async fn keep_logs<T>(place: &Place, result: Result<T>) -> Result<T> {
    if result.is_err() {
        let logs = crate::diagnostics::collect(place, "demo").await;
        tracing::error!("failed; what was to be seen is kept in {logs}");
    }
    result
}

/// Everything up to a tenant whose worker and agent are ready.
pub async fn up(place: &Place, build: Build) -> Result<Demo> {
    setup::lab(place).await?;
    let archives = product::archives(place, build).await?;
    let lab = keep_logs(place, Lab::up(place).await).await?;
    let filled = fill(&lab, &archives).await;
    let (tenant, cluster, worker) = keep_logs(place, filled).await?;
    Ok(Demo {
        lab,
        tenant,
        cluster,
        worker,
    })
}

/// The demo that an earlier run left.
pub async fn attach(place: &Place) -> Result<Demo> {
    let missing = || Error::Missing {
        what: "a demo that is up".into(),
        remedy: "`make demo` starts it".into(),
    };
    let lab = Lab::attach(place).await?.ok_or_else(missing)?;
    let worker = lab.worker("worker")?.ok_or_else(missing)?;
    let tenant = Tenant::new(&lab, warren::EXAMPLE);
    let cluster = tenant.cluster(&lab).await?;
    Ok(Demo {
        lab,
        tenant,
        cluster,
        worker,
    })
}

async fn fill(lab: &Lab, archives: &[PathBuf]) -> Result<(Tenant, Cluster, Worker)> {
    crate::place::write(
        &lab.place().demo().join("management.kubeconfig"),
        crate::place::read(lab.management().kubeconfig())?,
    )?;
    offer_kubectl(lab)?;
    let (tenant, worker) = tokio::join!(
        start_tenant(lab, archives),
        lab.boot_worker("worker", archives)
    );
    let (tenant, worker) = (tenant?, worker?);
    let cluster = tenant.cluster(lab).await?;
    tracing::info!("joining the worker");
    worker.join(&cluster).await?;
    worker.start_proxy(&cluster).await?;
    warren::wait_agents_ready(&cluster).await?;
    tenant.wait_ready().await?;
    crate::replica::wait_all_reach(lab, &tenant, &cluster, "worker").await?;
    Ok((tenant, cluster, worker))
}

async fn start_tenant(lab: &Lab, archives: &[PathBuf]) -> Result<Tenant> {
    lab.import_images(archives).await?;
    tracing::info!("installing Warren with Helm");
    warren::install(lab).await?;
    let manifest = lab
        .place()
        .repository()
        .join("examples/tenant-control-plane.yaml");
    lab.management()
        .kubectl(["apply", "-f", &manifest.display().to_string()])
        .run()
        .await?;
    let tenant = Tenant::new(lab, warren::EXAMPLE);
    tracing::info!("waiting for the tenant control plane");
    tenant.wait_ready().await?;
    Ok(tenant)
}

/// kubectl beside the kubeconfigs, for whoever has none; what it keeps goes with the demo.
fn offer_kubectl(lab: &Lab) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = lab.place().demo();
    let script = folder.join("kubectl");
    let text = format!(
        "#!/bin/sh\nKUBECACHEDIR=${{KUBECACHEDIR:-'{}'}} exec '{}' \"$@\"\n",
        folder.join("kube-cache").display(),
        lab.programs().path("kubectl")?.display(),
    );
    crate::place::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
        .map_err(Error::file("make executable", &script))
}

fn guide(demo: &Demo) -> String {
    let folder = demo.lab.place().demo();
    let kubectl = folder.join("kubectl");
    format!(
        "
Everything is still running. To look around:
  {kubectl} --kubeconfig {management} get tcp,pods -A
  {kubectl} --kubeconfig {tenant} get nodes,pods -A
  nsenter --net=/run/netns/management socat - TCP:{worker}:10250,connect-timeout=3   # nobody there
To stop and remove it: make demo-down",
        kubectl = kubectl.display(),
        management = folder.join("management.kubeconfig").display(),
        tenant = folder.join("tenant.kubeconfig").display(),
        worker = demo.worker.address(),
    )
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
