//! warren-operator: control planes of tenants, run as pods of this cluster. This page is the map.
//!
//! ```text
//!  TenantControlPlane ─watch─► observe ─► validate ─► issue ─► build ─► apply ─► report     tenant_control_plane
//!                              Observed   ControlPlane Pki     Objects  Objects  status
//!                              I/O in     └──────── pure ───────┘      I/O out  one patch
//!
//!  TenantControlPlane ─watch─► one task per tenant: what lives inside its cluster            tenant
//!  DataStore          ─watch─► is it reachable, who uses it                                  data_store
//!  manifests          ─HTTPS─► the same rules as validate                                    admission
//! ```
//!
//! Reading order: [`api`] (what users write and read), [`tenant_control_plane`] (the six lines), [`pki`], [`tenant`],
//! [`data_store`], [`etcd`], [`run`] (how it is all wired).
//!
//! What may import what: [`validate`], [`pki`], [`names`], [`labels`] and the pure steps know no client and no clock;
//! [`etcd`] knows no Kubernetes; only [`args`] reads flags and the environment; only [`context`] hands out client and
//! clock. A step never reads what a later step writes in the same pass: what is known only afterwards, such as the
//! address of a load balancer, ends the pass, and a watch starts the next one.

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
pub mod events;
pub mod finalizer;
pub mod labels;
pub mod lease;
pub mod leftover;
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
