//! What a bare Debian machine with Rust and Go lacks for the lab; installs only what is missing.

use std::path::Path;
use std::time::Duration;

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::place::Place;

/// A file that shows that a package is there, whoever brought it, and the Debian package that brings it.
const PACKAGES: [(&str, &str); 12] = [
    ("/bin/busybox", "busybox-static"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/containerd", "containerd"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("/usr/sbin/ethtool", "ethtool"),
    ("/usr/bin/gcc", "gcc"),
    ("/bin/ip", "iproute2"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/bin/musl-gcc", "musl-tools"),
    ("/usr/bin/kill", "procps"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/bin/socat", "socat"),
];

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Installs what the lab needs.
pub async fn lab(place: &Place) -> Result<()> {
    root().await?;
    packages().await?;
    let library = Invocation::new(["rustc", "--print", "target-libdir", "--target", TARGET])
        .directory(place.repository())
        .run()
        .await?;
    if Path::new(library.trim()).exists() {
        return Ok(());
    }
    rustup(place, &["target", "add", TARGET]).await
}

/// Installs what the repository's checks need: parts of the toolchain, and cargo-deny into the cache's `bin`.
pub async fn checks(place: &Place) -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let known = Invocation::new(["cargo", command, "--version"]).directory(place.repository());
        if !known.finish().await?.status.success() {
            rustup(place, &["component", "add", component]).await?;
        }
    }
    cargo_deny(place).await
}

/// Adds to the toolchain, which without rustup only its owner can.
async fn rustup(place: &Place, arguments: &[&str]) -> Result<()> {
    let added = Invocation::new(["rustup"])
        .args(arguments)
        .directory(place.repository())
        .limit(Duration::from_mins(10))
        .run()
        .await;
    match added {
        Err(Error::Start { .. }) => Err(Error::Missing {
            what: format!(
                "{} of the Rust toolchain",
                arguments.last().unwrap_or(&"a part")
            ),
            remedy: "there is no rustup to add it with: install it the way Rust was installed"
                .into(),
        }),
        other => other.map(drop),
    }
}

async fn cargo_deny(place: &Place) -> Result<()> {
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
    if !install.finish().await?.status.success() {
        // There may be no lists of packages yet, or old ones.
        apt(&["update"]).run().await?;
        install.run().await?;
    }
    // Its package starts a service of the system; the lab's machines have containerds of their own.
    if missing.contains(&"containerd") && Path::new("/run/systemd/system").exists() {
        Invocation::new(["systemctl", "disable", "--now", "containerd.service"])
            .run()
            .await?;
    }
    Ok(())
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
