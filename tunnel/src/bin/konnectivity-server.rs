//! konnectivity-server: kube-apiserver's way into a network that only dials out.
//! Flags → settings → log → [`tunnel::server`]; with the word `status`, [`tunnel::status`].

use std::io::Write as _;
use std::process::ExitCode;

use tunnel::server::args::Args;
use tunnel::server::settings::Settings;
use tunnel::status::command;
use tunnel::status::document::Program;
use tunnel::{flags, server, telemetry, threads};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words = flags::own_command_line();
    if command::is_asked(&words) {
        return command::run(Program::Server, &words);
    }
    let parsed = match flags::parse::<Args>(words) {
        Ok(parsed) => parsed,
        Err(stop) => return stop.report(),
    };
    let settings = match Settings::try_from(parsed.args) {
        Ok(settings) => settings,
        Err(mistakes) => return refuse(&mistakes.to_string()),
    };
    let log = match telemetry::start(&settings.klog) {
        Ok(log) => log,
        Err(error) => return refuse(&error.to_string()),
    };
    for notice in parsed.notices.iter().chain(&settings.warnings()) {
        tracing::warn!("{notice}");
    }
    for (name, value) in &parsed.values {
        tracing::info!("{name} set to {value:?}");
    }
    let ended = threads::run(|control| server::run(settings, control));
    let code = match ended.map_err(server::ServerError::from).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "konnectivity-server ends");
            ExitCode::FAILURE
        }
    };
    drop(log);
    code
}

/// Says on stderr why the program does not start; a closed stderr is nobody's loss.
fn refuse(reason: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "error: {reason}"));
    ExitCode::FAILURE
}
