//! The tunnel against peers written in Go: builds both sides and lets the Go program run its scenarios and print.
//!
//! The Go program (`go/peers`) dials with the client that kube-apiserver embeds and plays an agent and a server over
//! grpc-go. `KONNECTIVITY_REFERENCE_SERVER` and `KONNECTIVITY_REFERENCE_AGENT` name the reference's own programs; where
//! they are not set, their cells of the table say `not run`.

use std::time::Duration;

use crate::command::Invocation;
use crate::error::Result;
use crate::image::product::{self, Build};
use crate::place::Place;
use crate::programs::Programs;

/// Runs every scenario over every pairing; fails when a cell fails.
pub async fn run(place: &Place, build: Build) -> Result<()> {
    let peers = Programs::build(place).await?.path("peers")?;
    let ours = product::programs(place, build).await?;
    let logs = place.logs().join("interop");
    crate::place::create_directory(&logs)?;
    Invocation::new([peers])
        .args(["matrix", "--server"])
        .args([ours.join("konnectivity-server")])
        .args(["--agent"])
        .args([ours.join("konnectivity-agent")])
        .args(["--logs"])
        .args([logs])
        .limit(Duration::from_mins(20))
        .show()
        .await
}
