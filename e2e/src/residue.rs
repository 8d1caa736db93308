//! What a lab may have left behind on the system, looked for after `down`. Out comes a list for a person to read.

use std::path::Path;

use crate::cgroup;
use crate::error::{Error, Result};
use crate::network;
use crate::place::Place;

/// Fails with everything that is still there of the lab of this clone.
pub fn expect_none(place: &Place) -> Result<()> {
    let mut left = processes(place);
    left.extend(mounts(place)?);
    left.extend(network::left());
    let groups = cgroup::left();
    left.extend(groups.iter().map(|group| group.display().to_string()));
    for folder in [place.state(), place.demo()] {
        if folder.exists() {
            left.push(folder.display().to_string());
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: "what is left of the lab".into(),
        expected: "nothing".into(),
        found: left.join("\n  "),
    })
}

/// The lab's programs, run for this clone. Whoever has a shell in its folders, or its kubeconfig exported, is none of them.
fn processes(place: &Place) -> Vec<String> {
    let folders = [place.state(), place.demo()].map(|folder| folder.display().to_string());
    let programs = [place.cache().join("programs"), place.state()];
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let ours = pids.filter_map(|pid| {
        let process = Path::new("/proc").join(pid.to_string());
        let program = std::fs::read_link(process.join("exe")).ok()?;
        let text = |file| {
            let bytes = std::fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let command = text("cmdline");
        let about = format!("{command} {}", text("environ"));
        let is_ours = programs.iter().any(|folder| program.starts_with(folder))
            && folders.iter().any(|folder| about.contains(folder));
        is_ours.then(|| format!("process {pid}: {command}"))
    });
    ours.collect()
}

fn mounts(place: &Place) -> Result<Vec<String>> {
    let state = place.state().display().to_string();
    let table = crate::place::read(Path::new("/proc/self/mounts"))?;
    let ours = table.lines().filter(|line| line.contains(&state));
    Ok(ours.map(|line| format!("mount {line}")).collect())
}
