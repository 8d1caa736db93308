//! The `process_*` families of Go's client, read from `/proc/self` at each scrape. What cannot be
//! read is left out of the page.

use std::fs;

use super::text::{header, sample};

/// Linux reports times in ticks of 10 ms on every architecture we ship.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the families, in order of name.
pub(super) fn append(page: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/stat").unwrap_or_default();
    let families = [
        (
            "process_cpu_seconds_total",
            "Seconds of processor time used, user and system.",
            "counter",
            tick_field(&stat, 14)
                .zip(tick_field(&stat, 15))
                .map(|(user, system)| user + system),
        ),
        (
            "process_max_fds",
            "Most file descriptors allowed.",
            "gauge",
            limit(&limits, "Max open files"),
        ),
        (
            "process_open_fds",
            "File descriptors open now.",
            "gauge",
            open_files(),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory in bytes.",
            "gauge",
            kibibytes(&status, "VmRSS:"),
        ),
        (
            "process_start_time_seconds",
            "Start of the process in seconds since 1970.",
            "gauge",
            tick_field(&stat, 22)
                .zip(word_after(&kernel, "btime"))
                .map(|(since_boot, boot)| since_boot + boot),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory in bytes.",
            "gauge",
            kibibytes(&status, "VmSize:"),
        ),
    ];
    for (name, help, kind, value) in families {
        if let Some(value) = value {
            header(page, name, help, kind);
            sample(page, name, "", value);
        }
    }
}

/// A field of `/proc/self/stat`, counted from 1 as the manual does; the second may hold blanks.
fn tick_field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: f64 = after_name
        .split_whitespace()
        .nth(number.checked_sub(3)?)?
        .parse()
        .ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

fn limit(limits: &str, name: &str) -> Option<f64> {
    let row = limits.lines().find_map(|line| line.strip_prefix(name))?;
    row.split_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<f64> {
    word_after(status, name).map(|kibibytes| kibibytes * 1024.0)
}

fn word_after(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of descriptors is small"
)]
fn open_files() -> Option<f64> {
    fs::read_dir("/proc/self/fd")
        .ok()
        .map(|entries| entries.count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 12345 1 1";
        assert_eq!(tick_field(stat, 14), Some(2.5));
        assert_eq!(tick_field(stat, 22), Some(123.45));
        assert_eq!(tick_field("", 14), None);
    }

    #[test]
    fn unlimited_is_left_out() {
        assert_eq!(
            limit(
                "Max open files   unlimited unlimited files",
                "Max open files"
            ),
            None
        );
        assert_eq!(
            limit("Max open files   1024  4096 files", "Max open files"),
            Some(1024.0)
        );
    }
}
