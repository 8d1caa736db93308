//! warren-operator.

pub mod admin;
pub mod admission;
pub mod api;
pub mod args;
pub mod backoff;
pub mod checksum;
pub mod context;
pub mod crd_install;
pub mod data_store;
pub mod etcd;
pub mod finalizer;
pub mod labels;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod objects;
pub mod pki;
pub mod retry;
pub mod run;
pub mod telemetry;
pub mod tenant;
pub mod tenant_control_plane;
pub mod validate;
pub mod version;
pub mod webhook_server;
