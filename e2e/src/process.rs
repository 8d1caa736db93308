//! Processes told apart by number *and* start time, so that a reused number is never taken for the old process.

use std::path::Path;
use std::time::Duration;

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::wait::{Seen, until};

/// One process, alive or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything; the start time is the 20th field after it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        if fields.next()? == "Z" {
            return None;
        }
        Some(Self {
            pid,
            started: fields.nth(18)?.parse().ok()?,
        })
    }

    /// Its number.
    pub fn pid(self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(self) -> Result<()> {
        if self.is_alive() {
            Invocation::new(["kill", "-KILL", &self.pid.to_string()])
                .finish()
                .await?;
        }
        until(
            &format!("process {} is gone", self.pid),
            Duration::from_secs(30),
            async || {
                Ok(if self.is_alive() {
                    Seen::NotYet("alive".into())
                } else {
                    Seen::Yes(())
                })
            },
        )
        .await
    }

    /// Writes it down.
    pub fn record(self, file: &Path) -> Result<()> {
        crate::place::write(file, format!("{} {}\n", self.pid, self.started))
    }

    /// Reads what [`Process::record`] wrote; `None` when there is no such file.
    pub fn recorded(file: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::file("read", file)(source)),
        };
        let mut numbers = text.split_whitespace();
        let pid = numbers.next().and_then(|number| number.parse().ok());
        let started = numbers.next().and_then(|number| number.parse().ok());
        Ok(pid.zip(started).map(|(pid, started)| Self { pid, started }))
    }
}

/// Every process whose network namespace is the named one.
pub fn in_network_namespace(name: &str) -> Vec<Process> {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| {
        std::fs::metadata(path)
            .ok()
            .map(|file| (file.dev(), file.ino()))
    };
    let Some(wanted) = identity(&Path::new("/run/netns").join(name)) else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| identity(Path::new(&format!("/proc/{pid}/ns/net"))) == Some(wanted))
        .filter_map(Process::find)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn a_process_is_read_back_as_itself_and_not_as_another_with_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("init");
        let ours = Process::find(std::process::id()).expect("we run");
        ours.record(&file).expect("a writable folder");
        assert_eq!(Process::recorded(&file).expect("readable"), Some(ours));
        let older = Process {
            started: ours.started - 1,
            ..ours
        };
        assert!(ours.is_alive() && !older.is_alive());
    }
}
