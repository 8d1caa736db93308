//! The machines' control groups, in every hierarchy the system has: what they need before, and their removal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::wait::{Seen, until};

const ROOT: &str = "/sys/fs/cgroup";
/// Where the processes of a container's root group go, for a group with processes gives its children no controllers.
const LEAF: &str = "warren-others";
/// What the kubelet cannot do without.
const REQUIRED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// Has version 2's root group give its controllers to the machines' groups; with version 1 there is nothing to do.
pub fn delegate() -> Result<()> {
    delegate_at(Path::new(ROOT))
}

fn delegate_at(root: &Path) -> Result<()> {
    let Ok(offered) = std::fs::read_to_string(root.join("cgroup.controllers")) else {
        return Ok(());
    };
    let control = root.join("cgroup.subtree_control");
    // One by one: a write with one that is refused gives none of them.
    for controller in offered.split_whitespace() {
        // Processes may be born while others are moved; what is refused to the end, and needed, is named below.
        for _ in 0..3 {
            let enabled = std::fs::write(&control, format!("+{controller}"));
            if !enabled.is_err_and(|error| error.kind() == std::io::ErrorKind::ResourceBusy) {
                break;
            }
            move_processes(root, &root.join(LEAF))?;
        }
    }
    let given = std::fs::read_to_string(&control).map_err(Error::file("read", &control))?;
    match lacking(&given).as_slice() {
        [] => Ok(()),
        missing => Err(Error::Missing {
            what: format!("controller {} in {}", missing.join(", "), control.display()),
            remedy: "start the system, or the container, with these control group controllers delegated to it".into(),
        }),
    }
}

fn lacking(given: &str) -> Vec<&'static str> {
    let is_missing = |name: &&str| !given.split_whitespace().any(|word| word == *name);
    REQUIRED.into_iter().filter(is_missing).collect()
}

/// Moves what may be moved; processes that ended meanwhile, and the kernel's own, are refused.
fn move_processes(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(Error::file("create", to))?;
    let list = from.join("cgroup.procs");
    let processes = std::fs::read_to_string(&list).map_err(Error::file("read", &list))?;
    for process in processes.split_whitespace() {
        let _ = std::fs::write(to.join("cgroup.procs"), process);
    }
    Ok(())
}

/// Undoes [`delegate`], as far as it moved processes: a container's root group is again as it was.
fn reclaim(root: &Path) -> Result<()> {
    let leaf = root.join(LEAF);
    if !leaf.exists() {
        return Ok(());
    }
    let control = root.join("cgroup.subtree_control");
    let given = std::fs::read_to_string(&control).map_err(Error::file("read", &control))?;
    for controller in given.split_whitespace() {
        // Others may have groups that use it: then it stays, and `left` names the leaf.
        let _ = std::fs::write(&control, format!("-{controller}"));
    }
    move_processes(&leaf, root)
}

/// Removes the groups of the lab's machines, whose processes must have ended, and waits until they are gone.
pub async fn remove(machines: &[String]) -> Result<()> {
    let groups = machines.iter().map(|machine| format!("warren-{machine}"));
    remove_named(&groups.collect::<Vec<_>>()).await
}

/// Takes back what [`delegate`] did, when no machine is left.
pub async fn restore() -> Result<()> {
    reclaim(Path::new(ROOT))?;
    remove_named(&[LEAF.to_owned()]).await
}

async fn remove_named(groups: &[String]) -> Result<()> {
    let what = format!("control groups {} are gone", groups.join(", "));
    until(&what, Duration::from_secs(10), async || {
        for hierarchy in hierarchies() {
            for group in groups {
                let group = hierarchy.join(group);
                if group.exists() {
                    remove_tree(&group)?;
                }
            }
        }
        Ok(Seen::Yes(()))
    })
    .await
}

/// The lab's groups that are there now.
pub fn left() -> Vec<PathBuf> {
    let groups = hierarchies().into_iter().flat_map(|root| children(&root));
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("warren-")
    };
    groups.filter(ours).collect()
}

fn hierarchies() -> Vec<PathBuf> {
    let mut hierarchies = vec![PathBuf::from(ROOT)];
    hierarchies.extend(children(Path::new(ROOT)));
    hierarchies
}

/// Children first; `rmdir` refuses what is still busy.
fn remove_tree(group: &Path) -> Result<()> {
    for child in children(group) {
        remove_tree(&child)?;
    }
    std::fs::remove_dir(group).map_err(Error::file("remove control group", group))
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

#[cfg(test)]
mod tests {
    use super::{delegate_at, lacking};

    #[test]
    fn what_the_kubelet_needs_and_lacks_is_named() {
        assert_eq!(lacking("cpu io memory"), ["cpuset", "pids"]);
        assert!(lacking("cpuset cpu io memory hugetlb pids").is_empty());
    }

    #[test]
    fn a_root_group_without_the_controllers_is_an_error_that_names_them() {
        let root = tempfile::tempdir().expect("a folder");
        for file in ["cgroup.controllers", "cgroup.subtree_control"] {
            std::fs::write(root.path().join(file), "\n").expect("a writable folder");
        }
        let error = delegate_at(root.path()).expect_err("nothing is offered");
        let text = error.to_string();
        assert!(text.contains("cpu, cpuset, memory, pids"), "{text}");
    }

    #[test]
    fn version_1_needs_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        delegate_at(root.path()).expect("no file of version 2, no work");
    }
}
