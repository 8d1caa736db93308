//! The lab: real Kubernetes on one machine, and what is proved in it.
//!
//! ```text
//!   this shell ──┐
//!                ├── wan ──── management: etcd, kube-apiserver, …, containerd, kubelet   198.18.10.2, LoadBalancers 198.18.40.x
//!       worker ──┘  firewall: worker → management passes, management → worker does not   198.18.20.2
//! ```
//!
//! `programs` builds the real programs from pinned Go modules, `image` makes container images of them without a
//! container engine, `machine` gives each node namespaces of its own, `management` and `worker` make nodes of machines,
//! and [`lab::Lab`] is all of that. The `lab` program is its command line; `make help` names the ways to call it.
//! [`mod@bench`] and [`soak`] need no lab: they measure the tunnel on loopback, and see that it keeps nothing; the `bench`
//! program is their command line.

pub mod bench;
pub mod cgroup;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod diagnostics;
pub mod error;
pub mod image;
pub mod interop;
pub mod kamaji;
pub mod kernel;
pub mod lab;
pub mod load_balancer;
pub mod machine;
pub mod management;
pub mod network;
pub mod node;
pub mod place;
pub mod process;
pub mod programs;
pub mod replica;
pub mod report;
pub mod residue;
pub mod scenario;
pub mod setup;
pub mod soak;
pub mod store;
pub mod wait;
pub mod warren;
pub mod worker;
