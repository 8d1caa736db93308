//! The house rules as a test: how large a room may be, how it opens, and which rooms stay pure.
//!
//! It reads every `.rs` file of the three crates as text and names each place that breaks a rule.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a file may have, its tests included.
const LONGEST_FILE: usize = 400;

/// Rooms that decide but never touch the world: what may not be named in them.
const PURE: &[(&str, &[&str])] = &[
    (
        "tunnel/src/protocol",
        &["tokio::", "tonic::", "h2::", "Instant::now", "SystemTime"],
    ),
    (
        "tunnel/src/status/document",
        &["tokio::", "std::io", "Instant", "SystemTime"],
    ),
    (
        "tunnel/src/status/table",
        &["tokio::", "std::io", "Instant", "SystemTime"],
    ),
    ("operator/src/pki", &["kube::Client", "Api<", "async fn"]),
    (
        "operator/src/tenant_control_plane/build",
        &["kube::Client", "Api<", "async fn"],
    ),
    (
        "operator/src/tenant_control_plane/issue",
        &["kube::Client", "Api<", "async fn"],
    ),
    (
        "operator/src/tenant/build",
        &["kube::Client", "Api<", "async fn"],
    ),
    (
        "operator/src/validate",
        &["kube::Client", "Api<", "async fn"],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .into()
}

/// Every Rust file of the workspace with its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["operator", "tunnel", "e2e"]
        .iter()
        .map(|crate_name| root.join(crate_name))
        .collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a folder of the tree") {
            let path = entry.expect("an entry of the tree").path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&root)
                    .expect("below the root")
                    .display()
                    .to_string();
                found.push((name, fs::read_to_string(&path).expect("a source is text")));
            }
        }
    }
    found.sort();
    found
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn every_file_is_a_small_room() {
    let broken: Vec<_> = sources()
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    assert_none(&format!("a file has at most {LONGEST_FILE} lines"), &broken);
}

#[test]
fn every_file_says_what_its_room_is_for() {
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert_none("a file opens with `//!`", &broken);
}

#[test]
fn no_file_is_called_mod() {
    let broken: Vec<_> = sources()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.ends_with("/mod.rs"))
        .collect();
    assert_none("a module is foo.rs beside foo/", &broken);
}

#[test]
fn pure_rooms_name_nothing_impure() {
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (room, banned) in PURE {
            let inside = name == format!("{room}.rs") || name.starts_with(&format!("{room}/"));
            if !inside || name.ends_with("/tests.rs") {
                continue;
            }
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for (at, line) in code.enumerate() {
                for word in banned.iter().filter(|word| line.contains(**word)) {
                    broken.push(format!("{name}, line of code {}: {word}", at + 1));
                }
            }
        }
    }
    assert_none("a pure room names no I/O and no clock", &broken);
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["#[ig", "nore"].concat(),
    ];
    let mut broken = Vec::new();
    for (name, text) in sources() {
        for (at, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                broken.push(format!("{name}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    assert_none("nothing is left for later in the tree", &broken);
}
