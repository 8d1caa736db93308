//! What a bare Debian machine with Rust and Go lacks for the lab; installs only what is missing.

use std::path::Path;
use std::time::Duration;

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::place::Place;

const PACKAGES: [&str; 11] = [
    "busybox-static",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "ethtool",
    "gcc",
    "iproute2",
    "iptables",
    "musl-tools",
    "runc",
    "socat",
];

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Installs what the lab needs.
pub async fn lab(place: &Place) -> Result<()> {
    root().await?;
    packages().await?;
    let installed = Invocation::new(["rustup", "target", "list", "--installed"])
        .directory(place.repository())
        .run()
        .await?;
    if !installed.lines().any(|target| target == TARGET) {
        Invocation::new(["rustup", "target", "add", TARGET])
            .directory(place.repository())
            .run()
            .await?;
    }
    Ok(())
}

/// Installs cargo-deny into the cache's `bin` when the machine has none.
pub async fn checks(place: &Place) -> Result<()> {
    let kept = place.cache().join("bin/cargo-deny");
    let known = Invocation::new(["sh", "-c", "command -v cargo-deny"])
        .finish()
        .await?
        .status
        .success();
    if known || kept.exists() {
        return Ok(());
    }
    tracing::info!("building cargo-deny; kept in the cache afterwards");
    Invocation::new(["cargo", "install", "--locked", "cargo-deny", "--root"])
        .args([place.cache()])
        .limit(Duration::from_mins(20))
        .run()
        .await
        .map(drop)
}

/// Everything here makes namespaces and mounts.
pub async fn root() -> Result<()> {
    let user = Invocation::new(["id", "-u"]).run().await?;
    if user.trim() == "0" {
        return Ok(());
    }
    Err(Error::Missing {
        what: "root".into(),
        remedy: "run this as root: the lab makes namespaces, mounts and control groups".into(),
    })
}

async fn packages() -> Result<()> {
    let mut missing = Vec::new();
    for package in PACKAGES {
        let state = Invocation::new(["dpkg-query", "-W", "-f", "${Status}", package])
            .finish()
            .await?;
        if !state.stdout.ends_with("ok installed") {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    tracing::info!(?missing, "installing");
    let limit = Duration::from_mins(15);
    let environment = ("DEBIAN_FRONTEND", "noninteractive");
    let lists = Path::new("/var/lib/apt/lists");
    if std::fs::read_dir(lists).map_or(0, Iterator::count) < 3 {
        Invocation::new(["apt-get", "-qq", "update"])
            .limit(limit)
            .run()
            .await?;
    }
    let install = |missing: &[&str]| {
        Invocation::new(["apt-get", "-qq", "install", "-y", "--no-install-recommends"])
            .args(missing.iter().copied())
            .env(environment.0, environment.1)
            .limit(limit)
    };
    if install(&missing).finish().await?.status.success() {
        return Ok(());
    }
    // The lists may be older than the archive.
    Invocation::new(["apt-get", "-qq", "update"])
        .limit(limit)
        .run()
        .await?;
    install(&missing).run().await.map(drop)
}
