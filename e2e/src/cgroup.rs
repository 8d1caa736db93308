//! The machines' control groups, in every hierarchy the system has, and their removal.

use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// Removes the groups of the lab's machines; their processes must have ended.
pub fn remove(machines: &[String]) {
    let mut hierarchies = vec![PathBuf::from(ROOT)];
    hierarchies.extend(children(Path::new(ROOT)));
    for hierarchy in hierarchies {
        for machine in machines {
            remove_tree(&hierarchy.join(format!("warren-{machine}")));
        }
    }
}

/// Children first; what is still busy stays, for `rmdir` refuses.
fn remove_tree(group: &Path) {
    for child in children(group) {
        remove_tree(&child);
    }
    let _ = std::fs::remove_dir(group);
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(group) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect()
}
