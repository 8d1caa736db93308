//! What processes use: CPU time, memory, descriptors and threads, as the kernel counts them below `/proc`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All that is in RAM, program text included.
    pub resident: u64,
    /// What the process itself wrote: heap and stacks.
    pub anonymous: u64,
}

/// CPU time of all threads that these processes have now.
pub fn cpu(processes: &[u32]) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for process in processes {
        let folder = PathBuf::from(format!("/proc/{process}/task"));
        let entries = std::fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
        for entry in entries {
            let file = entry
                .map_err(Error::file("read", &folder))?
                .path()
                .join("schedstat");
            // A thread may end between the two reads; what it used is lost, and idle helpers are all that end.
            if let Ok(text) = std::fs::read_to_string(&file) {
                sum += on_cpu(&text).ok_or_else(|| unexpected(&file, &text))?;
            }
        }
    }
    Ok(sum)
}

/// Memory of one process.
pub fn memory(process: u32) -> Result<Memory> {
    let file = PathBuf::from(format!("/proc/{process}/status"));
    let text = crate::place::read(&file)?;
    parse_status(&text).ok_or_else(|| unexpected(&file, &text))
}

/// Files, sockets and whatever else a process has open.
pub fn descriptors(process: u32) -> Result<u64> {
    entries(&PathBuf::from(format!("/proc/{process}/fd")))
}

/// Threads of a process.
pub fn threads(process: u32) -> Result<u64> {
    entries(&PathBuf::from(format!("/proc/{process}/task")))
}

fn entries(folder: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(folder).map_err(Error::file("read", folder))?;
    Ok(entries.count() as u64)
}

fn unexpected(file: &Path, text: &str) -> Error {
    Error::Unexpected {
        what: file.display().to_string(),
        expected: "what proc(5) says".into(),
        found: text.to_owned(),
    }
}

/// The first of schedstat's numbers, nanoseconds on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn parse_status(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some(Memory {
        resident: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Memory, on_cpu, parse_status};
    use std::time::Duration;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\n";
        let expected = Memory {
            resident: 2 << 20,
            anonymous: 1 << 20,
        };
        assert_eq!(parse_status(status), Some(expected));
        assert_eq!(parse_status("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn time_on_the_cpu_is_the_first_number() {
        let time = on_cpu("1500000000 7 3\n");
        assert_eq!(time, Some(Duration::from_millis(1500)));
        assert_eq!(on_cpu(""), None);
    }
}
