//! The command line of `make bench` and `make soak`: the runs themselves, and the processes they start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use e2e::bench::child::become_program;
use e2e::bench::part::{delay, dials, echo, idle, probe, relay, sink, stall, transfer};
use e2e::bench::plan::Plan;
use e2e::bench::rig::{Programs, Subjects};
use e2e::bench::step::Step;
use e2e::bench::{Options, run};
use e2e::error::{Error, Result};
use e2e::place::Place;
use e2e::soak;
use tokio::signal::unix::{SignalKind, signal};

/// Relays copy as our programs do, with the same allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures the tunnel beside relays and the reference on this machine, and writes tables and a chart to target/bench.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Args {
    /// Three minutes instead of twenty.
    #[arg(long)]
    quick: bool,
    /// Only these steps.
    #[arg(long, value_enum, value_delimiter = ',')]
    steps: Vec<Step>,
    /// Our konnectivity-server [default: the one beside this program].
    #[arg(long)]
    server: Option<PathBuf>,
    /// Our konnectivity-agent [default: the one beside this program].
    #[arg(long)]
    agent: Option<PathBuf>,
    /// The reference's server.
    #[arg(long, env = "KONNECTIVITY_REFERENCE_SERVER")]
    reference_server: Option<PathBuf>,
    /// The reference's agent.
    #[arg(long, env = "KONNECTIVITY_REFERENCE_AGENT")]
    reference_agent: Option<PathBuf>,
    /// Where built programs are kept from run to run [default: ~/.cache/warren].
    #[arg(long, env = "WARREN_CACHE")]
    cache: Option<PathBuf>,
    /// The home directory, for the default of --cache.
    #[arg(long, env = "HOME", default_value = "/root", hide = true)]
    home: PathBuf,
    /// Where tables, chart and logs go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench"))]
    output: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Another run, and the processes of a run, which it starts by itself.
#[derive(Debug, Subcommand)]
enum Part {
    /// Lets clients come and go, well and badly, and sees that the tunnel keeps nothing of them.
    Soak(soak::Args),
    #[command(hide = true)]
    Become {
        parent: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        argv: Vec<OsString>,
    },
    #[command(hide = true)]
    Sink,
    #[command(hide = true)]
    Entry(relay::EntryArgs),
    #[command(hide = true)]
    Exit(relay::ExitArgs),
    #[command(hide = true)]
    Delay(delay::Args),
    #[command(hide = true)]
    Transfer(transfer::Args),
    #[command(hide = true)]
    Echo(echo::Args),
    #[command(hide = true)]
    Dials(dials::Args),
    #[command(hide = true)]
    Stall(stall::Args),
    #[command(hide = true)]
    Probe(probe::Args),
    #[command(hide = true)]
    Idle(idle::Args),
}

// One thread: each of our programs carries bytes on one, and the kernel ends our children with the thread that began them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let mut args = Args::parse();
    let ended = match args.part.take() {
        Some(part) => serve(part).await,
        None => measure(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

async fn serve(part: Part) -> Result<()> {
    match part {
        Part::Become { parent, argv } => Err(become_program(parent, &argv)),
        Part::Soak(args) => until_signal(soak::run(args)).await,
        Part::Sink => sink::run().await,
        Part::Entry(args) => relay::entry(args).await,
        Part::Exit(args) => relay::exit(args).await,
        Part::Delay(args) => delay::run(args).await,
        Part::Transfer(args) => transfer::run(args).await,
        Part::Echo(args) => echo::run(args).await,
        Part::Dials(args) => dials::run(args).await,
        Part::Stall(args) => stall::run(args).await,
        Part::Probe(args) => probe::run(args).await,
        Part::Idle(args) => idle::run(args).await,
    }
}

/// Runs to the end or to a signal; either way the processes and the folder of the run go with it.
async fn measure(args: Args) -> Result<()> {
    let ours = Programs::ours(args.server, args.agent)?;
    let reference = args.reference_server.zip(args.reference_agent);
    let reference = reference.map(|(server, agent)| Programs { server, agent });
    let go_client = match &reference {
        Some(_) => {
            let cache = args
                .cache
                .unwrap_or_else(|| args.home.join(".cache/warren"));
            Some(e2e::programs::Programs::peers(&Place::new(cache)).await?)
        }
        None => None,
    };
    let options = Options {
        plan: if args.quick { Plan::QUICK } else { Plan::FULL },
        subjects: Subjects {
            ours,
            reference,
            go_client,
        },
        output: args.output,
        steps: args.steps,
    };
    until_signal(run(options)).await
}

/// Runs to the end or to a signal.
async fn until_signal(work: impl Future<Output = Result<()>>) -> Result<()> {
    let listen = |kind| signal(kind).map_err(Error::file("listen for", "signals"));
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let interrupted = || Error::Missing {
        what: "the end of the run".into(),
        remedy: "a signal came first; start it again".into(),
    };
    tokio::select! {
        ended = work => ended,
        _ = interrupt.recv() => Err(interrupted()),
        _ = terminate.recv() => Err(interrupted()),
    }
}
