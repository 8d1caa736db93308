//! Settings of the whole system that a machine's programs change: written down before, and put back when the lab goes.
//!
//! The kubelet sets what it wants to be so when memory runs out or the kernel fails. Connection tracking is the reverse:
//! kube-proxy in a machine can neither set its size nor do without it, so it is set here as kube-proxy wants it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::place::{Place, read, write};

/// How many connections may be tracked.
const MOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// How many slots their table has.
const SLOTS: &str = "/sys/module/nf_conntrack/parameters/hashsize";
/// What kube-proxy asks for by default: for each core, and at least.
const PER_CORE: usize = 32_768;
const LEAST: usize = 131_072;
/// Entries that share a slot of the table, by kube-proxy's reckoning.
const PER_SLOT: usize = 4;

/// What is put back.
const SETTINGS: [&str; 8] = [
    SLOTS,
    MOST,
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
];

/// Writes down the settings as they are, and gives connection tracking the size that kube-proxy wants.
pub fn prepare(place: &Place) -> Result<()> {
    let found = SETTINGS.iter().filter_map(|&setting| {
        let value = std::fs::read_to_string(setting).ok()?;
        Some(format!("{setting} {}\n", value.trim()))
    });
    write(&record(place), found.collect::<String>())?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let entries = LEAST.max(cores * PER_CORE);
    let (Some(most), Some(slots)) = (number(MOST), number(SLOTS)) else {
        return Ok(());
    };
    if most != entries {
        set(MOST, &entries.to_string())?;
    }
    if slots < entries / PER_SLOT {
        set(SLOTS, &(entries / PER_SLOT).to_string())?;
    }
    Ok(())
}

/// Puts back what [`prepare`] found; what is so already is not written, for it may not be writable here.
pub fn restore(place: &Place) -> Result<()> {
    let file = record(place);
    if !file.exists() {
        return Ok(());
    }
    for (setting, value) in recorded(&read(&file)?) {
        if std::fs::read_to_string(setting).is_ok_and(|now| now.trim() != value) {
            set(setting, value)?;
        }
    }
    Ok(())
}

/// The settings of a record, those alone that are known here.
fn recorded(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(setting, _)| SETTINGS.contains(setting))
}

fn record(place: &Place) -> PathBuf {
    place.state().join("kernel")
}

fn number(file: &str) -> Option<usize> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn set(file: &str, value: &str) -> Result<()> {
    std::fs::write(file, value).map_err(Error::file("write", Path::new(file)))
}

#[cfg(test)]
mod tests {
    use super::{MOST, recorded};

    #[test]
    fn a_record_gives_back_known_settings_and_no_other_file() {
        let text = format!("{MOST} 131072\n/etc/passwd x\n\n");
        assert_eq!(recorded(&text).collect::<Vec<_>>(), [(MOST, "131072")]);
    }
}
