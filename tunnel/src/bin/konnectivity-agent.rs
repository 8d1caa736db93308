//! konnectivity-agent: opens connections in a tenant's network for the konnectivity-servers that
//! ask for them. Flags → settings → log → [`tunnel::agent::run`]; with the word `status`,
//! [`tunnel::status`].

use std::io::Write as _;
use std::process::ExitCode;

use tunnel::status::command;
use tunnel::status::document::Program;
use tunnel::{agent, flags, telemetry, threads};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let words = flags::own_command_line();
    if command::is_asked(&words) {
        return command::run(Program::Agent, &words);
    }
    let parsed = match flags::parse::<agent::Args>(words) {
        Ok(parsed) => parsed,
        Err(stop) => return stop.report(),
    };
    let settings = match agent::Settings::new(&parsed.args) {
        Ok(settings) => settings,
        Err(mistakes) => return refuse(&mistakes.join("\nerror: ")),
    };
    let log = match telemetry::start(&parsed.args.klog) {
        Ok(log) => log,
        Err(error) => return refuse(&error.to_string()),
    };
    for notice in &parsed.notices {
        tracing::warn!("{notice}");
    }
    for (name, value) in &parsed.values {
        tracing::info!("{name} set to {value:?}");
    }
    let ended = threads::run(|control| agent::run(settings, control));
    let code = match ended.map_err(agent::AgentError::from).flatten() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = telemetry::chain(&error);
            tracing::error!(error, "konnectivity-agent ends");
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
