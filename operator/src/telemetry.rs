//! The log: one tracing subscriber per process, text or JSON, to standard error.

use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "--log-level={filter}: not a level or filter; write it like info or info,operator=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A second subscriber in one process.
    #[error("the log has already been started")]
    Twice(#[source] Box<dyn Error + Send + Sync>),
}

/// Starts the log for this process.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let parsed = EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::Twice)
}

/// An error with all its causes, in one line: what a log line and a condition show.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        // What an API server refused is its own sentence; what is below repeats it for programs.
        let (text, below) = match refusal(cause) {
            Some(status) => (format!("{} ({})", status.message, status.code), None),
            None => (cause.to_string(), cause.source()),
        };
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = below;
    }
    line
}

fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a kube::core::Status> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot apply Service a/b")]
    struct Refused(#[source] Box<kube::Error>);

    #[test]
    fn a_refusal_reads_as_the_api_server_said_it() {
        let status = kube::core::Status::failure("provided port is already allocated", "Invalid")
            .with_code(422);
        let error = Refused(Box::new(kube::Error::Api(status.boxed())));
        assert_eq!(
            chain(&error),
            "cannot apply Service a/b: provided port is already allocated (422)"
        );
    }
}
