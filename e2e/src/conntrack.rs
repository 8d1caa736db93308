//! Connection tracking: its size belongs to the whole system, and kube-proxy in a machine can neither set it nor do
//! without it. So it is set here as kube-proxy wants it, and put back when the lab goes.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::place::{Place, read, write};

/// How many entries the table may have.
const MOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// How many slots it has.
const SLOTS: &str = "/sys/module/nf_conntrack/parameters/hashsize";
/// What kube-proxy asks for by default: for each core, and at least.
const PER_CORE: usize = 32_768;
const LEAST: usize = 131_072;
/// Entries that share a slot of the table, by kube-proxy's reckoning.
const PER_SLOT: usize = 4;

/// Enlarges the table when it is too small, and writes down what it was.
pub fn enlarge(place: &Place) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let entries = LEAST.max(cores * PER_CORE);
    let (Ok(most), Ok(slots)) = (number(MOST), number(SLOTS)) else {
        return Ok(());
    };
    write(&record(place), format!("{most} {slots}"))?;
    if most != entries {
        set(MOST, entries)?;
    }
    if slots < entries / PER_SLOT {
        set(SLOTS, entries / PER_SLOT)?;
    }
    Ok(())
}

/// Puts back what [`enlarge`] found.
pub fn restore(place: &Place) -> Result<()> {
    let file = record(place);
    if !file.exists() {
        return Ok(());
    }
    let text = read(&file)?;
    let mut numbers = text
        .split_whitespace()
        .filter_map(|number| number.parse().ok());
    if let (Some(most), Some(slots)) = (numbers.next(), numbers.next()) {
        set(SLOTS, slots)?;
        set(MOST, most)?;
    }
    Ok(())
}

fn record(place: &Place) -> PathBuf {
    place.state().join("conntrack")
}

fn number(file: &str) -> Result<usize, ()> {
    std::fs::read_to_string(file)
        .map_err(drop)?
        .trim()
        .parse()
        .map_err(drop)
}

fn set(file: &str, value: usize) -> Result<()> {
    std::fs::write(file, value.to_string()).map_err(Error::file("write", Path::new(file)))
}
