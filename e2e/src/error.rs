//! What can go wrong in the lab, said with the command, file or wait that failed.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step of the lab failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read, written or removed.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// The verb.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start {program}; `lab setup` installs what is missing")]
    Start {
        /// Its name.
        program: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A program ended with a failure.
    #[error("`{command}` failed ({status}):\n{output}")]
    Command {
        /// As it was called.
        command: String,
        /// Exit code or signal.
        status: String,
        /// The end of what it wrote.
        output: String,
    },
    /// A wait ran into its deadline.
    #[error("after {} s still waiting until {what}; last seen: {last}", .limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
        /// What was seen instead.
        last: String,
    },
    /// What was read back is not what must be there.
    #[error("{what}: expected {expected}, found {found}")]
    Unexpected {
        /// What was looked at.
        what: String,
        /// What must be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A thing the lab needs is not there.
    #[error("{what} is missing: {remedy}")]
    Missing {
        /// The thing.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// An API server refused or could not be reached.
    #[error("Kubernetes API")]
    Kube(#[from] kube::Error),
    /// A kubeconfig could not be used.
    #[error("kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Text that should be JSON is not.
    #[error("not the JSON that was expected")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// For `map_err` after a file operation.
    pub fn file(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// The error and all its causes on one line each.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            text.push_str("\n  because: ");
            text.push_str(&source.to_string());
            cause = source.source();
        }
        text
    }
}

/// Fails with [`Error::Unexpected`] unless `text` contains `part`.
pub fn expect_contains(what: &str, text: &str, part: &str) -> Result<()> {
    if text.contains(part) {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: what.to_owned(),
        expected: format!("something with {part:?}"),
        found: text.to_owned(),
    })
}
