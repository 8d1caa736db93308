//! Programs that are run and end: what to call goes in, what was written comes out, a failure says the whole command.

use std::ffi::{OsStr, OsString};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::error::{Error, Result};

/// How long a program may run unless told otherwise.
const LIMIT: Duration = Duration::from_mins(2);

/// How `setpriv` ends when the program cannot be started: it may not be, or it is not there.
const NOT_STARTED: [Option<i32>; 2] = [Some(126), Some(127)];

/// A program with its arguments, not started yet.
#[derive(Debug, Clone)]
pub struct Invocation {
    argv: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<OsString>,
    input: Vec<u8>,
    limit: Duration,
}

/// What a program left when it ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Invocation {
    /// The program and its arguments.
    pub fn new<S: AsRef<OsStr>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv
                .into_iter()
                .map(|part| part.as_ref().to_owned())
                .collect(),
            environment: Vec::new(),
            directory: None,
            input: Vec::new(),
            limit: LIMIT,
        }
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, more: impl IntoIterator<Item = S>) -> Self {
        self.argv
            .extend(more.into_iter().map(|part| part.as_ref().to_owned()));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The directory it runs in.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<OsStr>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// What it reads on standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command as a person would type it.
    pub fn text(&self) -> String {
        let words: Vec<_> = self
            .argv
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    /// Runs it to its end, whatever that is; only not starting and not ending are errors.
    pub async fn finish(&self) -> Result<Finished> {
        let mut child = self.spawn()?;
        let mut stdin = child.stdin.take();
        let ended = async {
            if let Some(stdin) = &mut stdin {
                // A program may end without reading its input; its status tells.
                let _ = stdin.write_all(&self.input).await;
            }
            drop(stdin.take());
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(self.limit, ended)
            .await
            .map_err(|_elapsed| Error::Late {
                what: format!("`{}` ends", self.text()),
                limit: self.limit,
                last: "running".into(),
            })?
            .map_err(|source| Error::Start {
                program: self.text(),
                source,
            })?;
        let finished = Finished::from(output);
        if NOT_STARTED.contains(&finished.status.code()) && finished.stderr.starts_with("setpriv: ")
        {
            return Err(Error::Start {
                program: self.text(),
                source: std::io::Error::other(finished.stderr),
            });
        }
        Ok(finished)
    }

    /// Runs it, wants success, returns its standard output.
    pub async fn run(&self) -> Result<String> {
        let finished = self.finish().await?;
        if finished.status.success() {
            return Ok(finished.stdout);
        }
        Err(Error::Command {
            command: self.text(),
            status: finished.status.to_string(),
            output: tail(&format!("{}{}", finished.stdout, finished.stderr)),
        })
    }

    /// Runs it with its output going where ours goes, wants success.
    pub async fn show(&self) -> Result<()> {
        let status = self
            .command()
            .stdin(Stdio::null())
            .status()
            .await
            .map_err(|source| Error::Start {
                program: self.text(),
                source,
            })?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Command {
            command: self.text(),
            status: status.to_string(),
            output: "(see above)".into(),
        })
    }

    /// Starts it with all three streams piped; killed when the handle is dropped.
    pub fn spawn(&self) -> Result<Child> {
        self.command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start {
                program: self.text(),
                source,
            })
    }

    /// Through `setpriv`, so that the kernel ends the program when we end, however that comes about; a stopped one too.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.argv)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// The last lines of a long output: enough to see why.
fn tail(output: &str) -> String {
    let lines: Vec<_> = output.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(60))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::Invocation;
    use crate::error::Error;

    #[tokio::test]
    async fn the_kernel_ends_a_program_when_we_end() {
        let dump = Invocation::new(["setpriv", "--dump"]).run().await;
        let dump = dump.expect("setpriv tells what it was given");
        assert!(dump.contains("Parent death signal: KILL"), "{dump}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_from_one_that_fails() {
        let missing = Invocation::new(["no-such-program"]).finish().await;
        assert!(matches!(missing, Err(Error::Start { .. })), "{missing:?}");
        let failing = Invocation::new(["sh", "-c", "exit 127"]).run().await;
        assert!(matches!(failing, Err(Error::Command { .. })), "{failing:?}");
    }
}
