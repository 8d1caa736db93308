//! Processes of a run: started with a log of their own, spoken to by lines of JSON, gone when their handle or we are.
//!
//! Everything is started through this program itself ([`become_program`]), so that the kernel ends it with us however
//! we end, and so that it may open as many files as the hard limit allows.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, getrlimit, kill_process,
    set_parent_process_death_signal, setrlimit,
};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// How much of a log an error shows.
const LAST_LINES: usize = 8;

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    log: PathBuf,
    pid: u32,
    process: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a program whose standard error goes to `<logs>/<name>.log`.
    pub fn start(name: &str, argv: Vec<OsString>, logs: &Path) -> Result<Self> {
        let own = std::env::current_exe().map_err(Error::file("find", "this program"))?;
        let log = logs.join(format!("{name}.log"));
        let output = std::fs::File::create(&log).map_err(Error::file("create", &log))?;
        let started = |source| Error::Start {
            program: name.to_owned(),
            source,
        };
        let mut process = Command::new(own)
            .arg("become")
            .arg(std::process::id().to_string())
            .args(argv)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(started)?;
        let stdout = process.stdout.take();
        let missing = || Error::Missing {
            what: format!("the output of {name}"),
            remedy: "start it again".into(),
        };
        Ok(Self {
            name: name.to_owned(),
            log,
            pid: process.id().ok_or_else(missing)?,
            lines: BufReader::new(stdout.ok_or_else(missing)?).lines(),
            process,
        })
    }

    /// Starts a part of this program, such as `sink`.
    pub fn part(name: &str, arguments: Vec<OsString>, logs: &Path) -> Result<Self> {
        let own = std::env::current_exe().map_err(Error::file("find", "this program"))?;
        let mut argv = vec![own.into_os_string()];
        argv.extend(arguments);
        Self::start(name, argv, logs)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The next line it writes, as JSON.
    pub async fn line<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T> {
        let line = timeout(limit, self.lines.next_line()).await;
        let line = line.map_err(|_elapsed| Error::Late {
            what: format!("{} says something", self.name),
            limit,
            last: self.last_words(),
        })?;
        match line.map_err(Error::file("read", &self.log))? {
            Some(line) => Ok(serde_json::from_str(&line)?),
            None => Err(self.ended("ended")),
        }
    }

    /// Fails when it has ended.
    pub fn alive(&mut self) -> Result<()> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(&status.to_string())),
            Err(source) => Err(Error::file("ask after", &self.log)(source)),
        }
    }

    /// Sends it a signal. Until we have waited for it, its number is nobody else's.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let sent = pid.map_or(Err(Errno::SRCH), |pid| kill_process(pid, signal));
        sent.map_err(|errno| Error::file("signal the process of", &self.log)(errno.into()))
    }

    /// Waits until it has ended by itself; a status other than success is an error.
    pub async fn leaves_within(mut self, limit: Duration) -> Result<()> {
        let waited = timeout(limit, self.process.wait()).await;
        let waited = waited.map_err(|_elapsed| Error::Late {
            what: format!("{} ends", self.name),
            limit,
            last: self.last_words(),
        })?;
        match waited.map_err(Error::file("wait for the process of", &self.log))? {
            status if status.success() => Ok(()),
            status => Err(self.ended(&status.to_string())),
        }
    }

    /// Ends it and waits until it is gone.
    pub async fn end(mut self) -> Result<()> {
        let killed = self.process.kill().await;
        killed.map_err(Error::file("end the process of", &self.log))
    }

    fn ended(&self, status: &str) -> Error {
        Error::Command {
            command: self.name.clone(),
            status: status.to_owned(),
            output: self.last_words(),
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(LAST_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Turns this process into another program that ends with `parent` and may open many files; returns only on failure.
pub fn become_program(parent: u32, argv: &[OsString]) -> Error {
    let prepared = prepare(parent);
    let Some((program, arguments)) = argv.split_first() else {
        return Error::Missing {
            what: "the program".into(),
            remedy: "name it behind the parent's number".into(),
        };
    };
    let source = match prepared {
        Ok(()) => std::process::Command::new(program).args(arguments).exec(),
        Err(source) => source,
    };
    Error::Start {
        program: program.to_string_lossy().into_owned(),
        source,
    }
}

fn prepare(parent: u32) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the kernel knew what to do then.
    let now = getppid().map_or(0, Pid::as_raw_pid);
    if u32::try_from(now).ok() != Some(parent) {
        return Err(std::io::Error::other("the parent has ended"));
    }
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
