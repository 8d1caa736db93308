//! One test binary per crate: it links once.
#![cfg(test)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail tests by panicking"
)]

mod admission;
mod api_server;
mod contract;
mod control_plane;
mod crds;
mod etcd;
mod examples;
mod management;
mod scripted;
mod support;
mod tenant;
