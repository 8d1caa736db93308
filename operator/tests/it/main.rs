//! One test binary per crate: it links once.
#![cfg(test)]
#![expect(clippy::large_futures, reason = "a test has its stack to itself")]

mod admission;
mod api_server;
mod chart;
mod contract;
mod control_plane;
mod crds;
mod etcd;
mod examples;
mod management;
mod process;
mod scripted;
mod stores;
mod support;
mod tenant;
