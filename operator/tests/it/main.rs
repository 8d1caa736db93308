//! One test binary per crate: it links once.
#![cfg(test)]

mod admission;
mod api_server;
mod contract;
mod control_plane;
mod crds;
mod etcd;
mod examples;
mod management;
mod support;
mod tenant;
