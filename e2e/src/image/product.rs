//! Our product's two images: the operator, and the tunnel with both its programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::Invocation;
use crate::error::Result;
use crate::image::layer::{Layer, LayerBuilder};
use crate::image::{Image, libraries};
use crate::place::Place;

/// The operator's image: repository and tag.
pub const OPERATOR: (&str, &str) = ("docker.io/warren/operator", env!("CARGO_PKG_VERSION"));
/// The tunnel's image: repository and tag.
pub const KONNECTIVITY: (&str, &str) = ("docker.io/warren/konnectivity", env!("CARGO_PKG_VERSION"));

/// Anybody but root.
const USER: &str = "65532:65532";
const MUSL: &str = "x86_64-unknown-linux-musl";

/// How the programs in the images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Build {
    /// Optimised and static: what is shipped.
    Release,
    /// As `cargo build` leaves them, with their shared libraries: quick to make again.
    Development,
}

/// Builds the programs and writes both archives.
pub async fn archives(place: &Place, build: Build) -> Result<Vec<PathBuf>> {
    let directory = programs(place, build).await?;
    let operator = program(
        Layer::builder().scratch("/tmp"),
        &directory,
        "warren-operator",
    )
    .await?;
    let operator = Image::new(vec![operator.build()])
        .entry_point(&["/usr/local/bin/warren-operator"])
        .user(USER);
    let mut tunnel = program(
        Layer::builder().scratch("/tmp"),
        &directory,
        "konnectivity-server",
    )
    .await?;
    tunnel = program(tunnel, &directory, "konnectivity-agent").await?;
    tunnel = tunnel
        .link("/proxy-server", "/usr/local/bin/konnectivity-server")
        .link("/proxy-agent", "/usr/local/bin/konnectivity-agent");
    let tunnel = Image::new(vec![tunnel.build()])
        .entry_point(&["/usr/local/bin/konnectivity-agent"])
        .user(USER);
    Ok(vec![
        operator.write(&[&name(OPERATOR)], &place.images().join("operator.tar"))?,
        tunnel.write(&[&name(KONNECTIVITY)], &tunnel_archive(place))?,
    ])
}

/// Where the tunnel's archive is, once it is written.
pub fn tunnel_archive(place: &Place) -> PathBuf {
    place.images().join("konnectivity.tar")
}

/// An image's name as containers are given it.
pub fn name((repository, tag): (&str, &str)) -> String {
    format!("{repository}:{tag}")
}

/// Builds the programs and says in which directory they are.
pub async fn programs(place: &Place, build: Build) -> Result<PathBuf> {
    let mut cargo = Invocation::new([
        "cargo", "build", "--locked", "-p", "operator", "-p", "tunnel", "--bins",
    ])
    .directory(place.repository())
    .limit(Duration::from_mins(40));
    let mut below = PathBuf::from("debug");
    if build == Build::Release {
        cargo = cargo
            .args(["--release", "--target", MUSL])
            .env("CC_x86_64_unknown_linux_musl", "musl-gcc");
        below = Path::new(MUSL).join("release");
    }
    cargo.show().await?;
    Ok(target_directory(place).await?.join(below))
}

/// Where cargo puts what it builds.
async fn target_directory(place: &Place) -> Result<PathBuf> {
    let metadata = Invocation::new(["cargo", "metadata", "--format-version=1", "--no-deps"])
        .directory(place.repository())
        .run()
        .await?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let directory = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("target");
    Ok(PathBuf::from(directory))
}

async fn program(layer: LayerBuilder, directory: &Path, name: &str) -> Result<LayerBuilder> {
    let file = directory.join(name);
    libraries::add_libraries(layer.file(&file, &format!("/usr/local/bin/{name}"))?, &file).await
}
