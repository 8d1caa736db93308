//! The lab's command line: `make lab-up`, `make demo`, `make e2e` and their like are one call of it each.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use e2e::demo;
use e2e::error::{Error, Result};
use e2e::image::product::{self, Build};
use e2e::interop;
use e2e::lab::{Lab, down};
use e2e::place::Place;
use e2e::programs::Programs;
use e2e::setup;
use e2e::{report, scenario};

/// Real Kubernetes on one machine, to show Warren and to test it.
#[derive(Debug, Parser)]
#[command(name = "lab")]
struct Args {
    /// Where built programs and images are kept from run to run [default: ~/.cache/warren].
    #[arg(long, env = "WARREN_CACHE", global = true)]
    cache: Option<PathBuf>,
    /// The home directory, for the default of --cache.
    #[arg(
        long,
        env = "HOME",
        default_value = "/root",
        hide = true,
        global = true
    )]
    home: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what the machine lacks.
    Setup {
        /// Also what the repository's checks need: rustfmt, clippy, cargo-deny.
        #[arg(long)]
        checks: bool,
    },
    /// Build the Kubernetes programs into the cache.
    Build,
    /// Write our images as OCI archives to target/images.
    Images {
        /// How the programs in them are built.
        #[arg(long, value_enum, default_value_t = Build::Release)]
        build: Build,
    },
    /// Show Warren: install it, start a tenant and its worker, and read back what goes through the tunnel.
    Demo {
        /// How the programs in the images are built.
        #[arg(long, value_enum, default_value_t = Build::Release)]
        build: Build,
    },
    /// Show the rows of the demo again, on the demo that is up.
    Rows,
    /// Prove the tunnel against peers written in Go and print the table.
    Interop {
        /// How our programs are built.
        #[arg(long, value_enum, default_value_t = Build::Release)]
        build: Build,
    },
    /// Start the management cluster.
    Up,
    /// Prove the lab itself: show the demo's rows on the management cluster, then join a worker to it.
    Smoke,
    /// Run the scenarios against a demo of their own, print the table, remove everything.
    Test {
        /// How the programs in the images are built.
        #[arg(long, value_enum, default_value_t = Build::Release)]
        build: Build,
        /// Use the demo that is up, and leave it up.
        #[arg(long)]
        attach: bool,
        /// Only these; `lab test list` names them.
        scenarios: Vec<String>,
    },
    /// Say which machines run, and which of their daemons.
    Status,
    /// End and remove everything.
    Down,
    /// Stand in for a cloud's load balancer; the lab starts this by itself.
    #[command(hide = true)]
    LoadBalancer {
        /// The cluster's kubeconfig.
        kubeconfig: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let args = Args::parse();
    let place = Place::new(
        args.cache
            .unwrap_or_else(|| args.home.join(".cache/warren")),
    );
    match run(args.verb, &place).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb, place: &Place) -> Result<()> {
    match verb {
        Verb::Setup { checks } => {
            setup::lab(place).await?;
            if checks {
                setup::checks(place).await
            } else {
                Ok(())
            }
        }
        Verb::Demo { build } => demo::run(place, build).await,
        Verb::Rows => demo::show(&demo::attach(place).await?).await,
        Verb::Build => Programs::build(place).await.map(drop),
        Verb::Images { build } => {
            for archive in product::archives(place, build).await? {
                tracing::info!(archive = %archive.display(), "written");
            }
            Ok(())
        }
        Verb::Interop { build } => interop::run(place, build).await,
        Verb::Up => demo::keep_logs(place, Lab::up(place).await).await.map(drop),
        Verb::Test {
            attach, scenarios, ..
        } if attach => scenario::run(&demo::attach(place).await?, &scenarios).await,
        Verb::Test {
            build, scenarios, ..
        } => test(place, build, &scenarios).await,
        Verb::Smoke => smoke(place).await,
        Verb::Status => report::say(&e2e::lab::status(place).await?),
        Verb::Down => down(place).await,
        Verb::LoadBalancer { kubeconfig } => {
            let programs = Programs::default();
            e2e::load_balancer::serve(
                e2e::cluster::Cluster::new(kubeconfig, programs)
                    .client()
                    .await?,
            )
            .await
        }
    }
}

async fn test(place: &Place, build: Build, scenarios: &[String]) -> Result<()> {
    if scenarios == ["list"] {
        return report::say(&scenario::names().join("\n"));
    }
    let outcome = match demo::up(place, build).await {
        Ok(demo) => scenario::run(&demo, scenarios).await,
        Err(error) => Err(error),
    };
    down(place).await?;
    outcome
}

async fn smoke(place: &Place) -> Result<()> {
    let lab = Lab::attach(place).await?.ok_or_else(|| Error::Missing {
        what: "the lab".into(),
        remedy: "`lab up` starts it".into(),
    })?;
    for row in demo::rows::through(lab.management(), "management").await? {
        tracing::info!(took = ?row.took, "{}: {}", row.what, row.shown);
    }
    let worker = lab.boot_worker("worker", &[]).await?;
    worker.join(lab.management()).await?;
    lab.management()
        .kubectl(["delete", "node", "worker"])
        .run()
        .await?;
    lab.remove_worker("worker").await
}
