//! From the text of a flag to a value, and from every mistake to one report.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Reads values and remembers what could not be read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// One sentence each, with flag, value and remedy.
    pub(super) mistakes: Vec<String>,
}

impl Reader {
    /// A value, or a mistake and nothing.
    pub(super) fn read<T>(
        &mut self,
        flag: &str,
        text: &str,
        value: Option<T>,
        help: &str,
    ) -> Option<T> {
        if value.is_none() {
            self.mistakes.push(format!("{flag}={text}: {help}"));
        }
        value
    }

    /// An address to listen on; `0` and nothing mean off.
    pub(super) fn address(&mut self, flag: &str, text: &str) -> Option<SocketAddr> {
        const HELP: &str =
            "not an address to listen on; write it like :8080 or 127.0.0.1:8080, or 0 for none";
        if matches!(text, "" | "0") {
            return None;
        }
        self.read(flag, text, bind_address(text), HELP)
    }
}

/// `:8080`, `127.0.0.1:8080` or `[::1]:8080`.
fn bind_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) => Some(SocketAddr::from((
            Ipv6Addr::UNSPECIFIED,
            port.parse().ok()?,
        ))),
        None => text.parse().ok(),
    }
}

/// `30000-32767`.
pub(super) fn port_range(text: &str) -> Option<RangeInclusive<i32>> {
    let (first, last) = text.split_once('-')?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| i32::from(first)..=i32::from(last))
}

/// `500ms`, `30s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    };
    (!duration.is_zero()).then_some(duration)
}
