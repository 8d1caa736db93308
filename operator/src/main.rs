//! warren-operator: arguments, log, then [`operator::run`]. No logic.

use std::process::ExitCode;

use clap::Parser as _;
use operator::args::Args;
use operator::run::{RunError, Shutdown};
use operator::telemetry;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Flags that cannot be used: as `sysexits.h` numbers it.
const USAGE: u8 = 64;
/// Reading a `TenantControlPlane` nests a hundred frames deep: in debug builds more than tokio's 2 MiB.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nothing is left to tell a reader who hung up.
            let _hung_up = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let settings = match args.settle() {
        Ok(settings) => settings,
        Err(error) => return refuse(&error),
    };
    if let Err(error) = telemetry::start(settings.log_format, &settings.log_filter) {
        return refuse(&error);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(until_asked(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = telemetry::chain(&error), "warren-operator ends");
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    use std::io::Write as _;
    // Nothing is left to tell a reader who hung up.
    let _hung_up = writeln!(std::io::stderr(), "{}", telemetry::chain(error));
    ExitCode::from(USAGE)
}

/// Runs until SIGTERM or SIGINT.
async fn until_asked(settings: operator::args::Settings) -> Result<(), RunError> {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "warren-operator starts"
    );
    let (trigger, shutdown) = Shutdown::new();
    let signals = async {
        match (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "signals cannot be heard");
                std::future::pending::<()>().await;
            }
        }
        tracing::info!("asked to end: running passes are finished");
        trigger.ask();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = operator::run::run(settings, shutdown) => ended,
        () = signals => Ok(()),
    }
}
