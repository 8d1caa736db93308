//! What machine the figures come from, and how busy it was with other things before the run.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::bench::statistics::number;
use crate::error::Result;
use crate::place::read;

/// Above this share of the machine, others disturb the figures.
const QUIET: f64 = 5.0;

/// A machine, as far as figures depend on it.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of it the scheduler sees.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Gigabytes of memory.
    pub memory_gb: f64,
    /// The day, in UTC.
    pub date: String,
    /// Percent of all cores that others used in the second before the run.
    pub busy_percent: f64,
}

impl Machine {
    /// Looks at this machine; takes a second.
    pub async fn look() -> Result<Self> {
        let before = cpu_times(&read(Path::new("/proc/stat"))?);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = cpu_times(&read(Path::new("/proc/stat"))?);
        let kibibytes = value(&read(Path::new("/proc/meminfo"))?, "MemTotal");
        let kibibytes = kibibytes.trim_end_matches(" kB").parse().unwrap_or(0);
        Ok(Self {
            processor: value(&read(Path::new("/proc/cpuinfo"))?, "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read(Path::new("/proc/sys/kernel/osrelease"))?.trim().into(),
            memory_gb: number(kibibytes * 1024 / 1_000_000) / 1000.0,
            date: time::OffsetDateTime::now_utc().date().to_string(),
            busy_percent: busy(before, after),
        })
    }

    /// Two lines for a person.
    pub fn text(&self) -> String {
        let disturbed = if self.busy_percent > QUIET {
            "DISTURBED: "
        } else {
            ""
        };
        format!(
            "{}, {} cores, {:.1} GB, Linux {}, loopback, {}\n{disturbed}others used {:.0} % of the machine before the run",
            self.processor, self.cores, self.memory_gb, self.kernel, self.date, self.busy_percent
        )
    }
}

fn value(text: &str, name: &str) -> String {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let found = fields.find(|(field, _)| field.trim() == name);
    found.map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
}

/// Ticks of all cores: idle ones, and all.
fn cpu_times(stat: &str) -> (u64, u64) {
    let numbers = stat.lines().next().unwrap_or_default().split_whitespace();
    // Behind steal come guests, which user and nice hold already.
    let ticks: Vec<u64> = numbers.skip(1).take(8).flat_map(str::parse).collect();
    let idle = ticks.iter().skip(3).take(2).sum();
    (idle, ticks.iter().sum())
}

fn busy(before: (u64, u64), after: (u64, u64)) -> f64 {
    let idle = number(after.0.saturating_sub(before.0));
    let all = number(after.1.saturating_sub(before.1)).max(1.0);
    100.0 * (1.0 - idle / all).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::{busy, cpu_times, value};

    #[test]
    fn waiting_for_disks_is_idle_and_guests_count_once() {
        let before = cpu_times("cpu  100 0 0 800 100 0 0 0 50 0\n");
        let after = cpu_times("cpu  200 0 0 1000 200 0 0 100 90 0\n");
        assert_eq!(before, (900, 1000));
        assert!((busy(before, after) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "model\t\t: 1\nmodel name\t: Some CPU: fast\n";
        assert_eq!(value(text, "model name"), "Some CPU: fast");
        assert_eq!(value(text, "flags"), "unknown");
    }
}
