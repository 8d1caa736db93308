//! What a bare Debian machine with Rust and Go lacks for the lab; installs only what is missing.

use std::path::Path;
use std::time::Duration;

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::place::Place;

/// A file that shows that a package is there, whoever brought it, and the Debian package that brings it.
const PACKAGES: [(&str, &str); 11] = [
    ("/bin/busybox", "busybox-static"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/containerd", "containerd"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("/usr/sbin/ethtool", "ethtool"),
    ("/usr/bin/gcc", "gcc"),
    ("/bin/ip", "iproute2"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/bin/musl-gcc", "musl-tools"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/bin/socat", "socat"),
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
    let lacking = PACKAGES.iter().filter(|(file, _)| !on_path(file));
    let missing: Vec<_> = lacking.map(|&(_, package)| package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    tracing::info!(?missing, "installing");
    let apt = |arguments: &[&str]| {
        Invocation::new(["apt-get", "-qq"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .limit(Duration::from_mins(15))
    };
    let install = apt(&["install", "-y", "--no-install-recommends"]).args(&missing);
    if install.finish().await?.status.success() {
        return Ok(());
    }
    // There may be no lists of packages yet, or old ones.
    apt(&["update"]).run().await?;
    install.run().await.map(drop)
}

/// Whether a file is there, or a program of its name in any of the usual places.
fn on_path(file: &str) -> bool {
    let file = Path::new(file);
    let name = file.file_name().unwrap_or_default();
    let usual = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    file.exists()
        || usual
            .iter()
            .any(|folder| Path::new(folder).join(name).exists())
}
