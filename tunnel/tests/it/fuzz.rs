//! Replays the fuzz corpus: what was found once stays found.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// Runs one target over its seeds, each also cut short at every byte.
fn replay(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        for end in 0..=seed.len() {
            target(&seed[..end]);
        }
        for at in 0..seed.len() {
            let mut changed = seed.clone();
            changed[at] ^= 0x81;
            target(&changed);
        }
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}

#[test]
fn packets() {
    replay("packet", targets::packet);
}

#[test]
fn framing() {
    replay("framing", targets::framing);
}

#[test]
fn tables() {
    replay("table", targets::table);
}

#[test]
fn authorities() {
    replay("authority", targets::authority);
}

#[test]
fn tokens() {
    replay("token", targets::token);
}

#[test]
fn connect_requests() {
    replay("connect_request", targets::connect_request);
}

#[test]
fn native_controls() {
    replay("native_control", targets::native_control);
}

#[test]
fn native_heads() {
    replay("native_head", targets::native_head);
}
