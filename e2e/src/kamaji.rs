//! A tenant control plane as Kamaji leaves it, for whoever proves that it can be taken over.
//!
//! In: whose it is, where it is reached, where its data is. Out: its objects with the names, keys, labels, annotations,
//! finalizers and shapes that Kamaji gives them, to be created plainly and as [`MANAGER`], as its binary does. Its
//! certificates and kubeconfigs come from kubeadm, whose phases Kamaji calls as a library: RSA keys in PKCS#1.
//!
//! What differs: images are not pulled each time, and the tunnel's is ours, for the lab has neither a registry nor the
//! reference's programs; probes ask more often, as a user may state.

pub mod certificates;
pub mod custom_resource;
mod deployment;
pub mod inside;
pub mod objects;

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use crate::programs::hex;

/// As whom Kamaji's binary writes.
pub const MANAGER: &str = "manager";
/// The namespace of all its objects.
pub const NAMESPACE: &str = "default";
/// Port of kube-apiserver.
pub const PORT: u16 = 6443;
/// Port of konnectivity-server.
pub const TUNNEL_PORT: u16 = 8132;

const SERVICES: &str = "10.96.0.0/16";
const PODS: &str = "10.244.0.0/16";

/// Whose it is, where it is reached, where its data is.
#[derive(Debug, Clone)]
pub struct Former {
    /// Name of the `TenantControlPlane`.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The address that its load balancer was given.
    pub address: String,
    /// Its store's endpoint, as `host:port`.
    pub store: String,
    /// The image with both programs of the tunnel.
    pub tunnel_image: String,
}

/// The data of the Secrets, by the end of their names.
pub type Contents = BTreeMap<&'static str, BTreeMap<&'static str, String>>;

impl Former {
    /// Where it is reached, as a URL.
    pub fn server(&self) -> String {
        format!("https://{}:{PORT}", self.address)
    }

    /// Its key prefix and its user in the store.
    pub fn schema(&self) -> String {
        schema(&self.name)
    }
}

/// As Kamaji named them before it took the UID.
fn schema(name: &str) -> String {
    format!("{NAMESPACE}_{}", name.replace('-', "_"))
}

/// Kamaji's checksum of a Secret or a `ConfigMap`: MD5 over the values in the order of their keys.
fn checksum<'a>(values: impl IntoIterator<Item = &'a String>) -> String {
    let mut digest = Md5::new();
    for value in values {
        digest.update(value);
    }
    hex(&digest.finalize())
}
