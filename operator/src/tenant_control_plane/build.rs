//! From a control plane and its certificates to every object that serves it.
//!
//! Pure: the same input gives the same bytes. What has no endpoint yet is given its Service alone; what has no usable
//! store yet is given everything but its pods, and pods that run are left as they are.

mod api_server;
mod arguments;
mod config_maps;
mod container;
mod controller_manager;
mod deployment;
mod disruption;
mod inputs;
mod metadata;
mod peers;
mod pod;
mod probes;
mod scheduler;
mod secrets;
mod service;
mod tunnel_server;
mod volumes;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};

use crate::names::{ConfigMapName, SecretName};
use crate::objects::{Desired, Objects};

use super::control_plane::{ControlPlane, Endpoint, EtcdStorage, Stage, Storage};
use super::issue::Pki;

pub use arguments::{Argument, merge};
pub use secrets::lifecycle;
pub use tunnel_server::{ADMIN_PORT, AGENT_ACCOUNT, AUDIENCE, HEALTH_PORT, SOCKET};

/// What the pods need, all of it at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving<'a> {
    pub(crate) control_plane: &'a ControlPlane,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) etcd: &'a EtcdStorage,
    pub(crate) pki: &'a Pki,
}

/// Builds everything, in apply order: what pods read comes before the pods.
pub fn build(control_plane: &ControlPlane, pki: Option<&Pki>) -> Objects<Desired> {
    let mut objects = Objects::new();
    objects.add(&service::build(control_plane));
    let (Stage::Serving(endpoint), Some(pki)) = (&control_plane.stage, pki) else {
        return objects;
    };
    objects.add(&config_maps::kubeadm(control_plane, endpoint));
    for (name, secret) in &pki.secrets {
        objects.add(&secrets::build(control_plane, *name, secret));
    }
    match &control_plane.tunnel {
        Some(tunnel) => objects.add(&config_maps::egress_selector(control_plane, tunnel)),
        None => forbid_tunnel(control_plane, &mut objects),
    }
    if control_plane.has_peers() {
        objects.add(&peers::build(control_plane));
    } else {
        forbid_peers(control_plane, &mut objects);
    }
    if let Storage::Etcd(etcd) = &control_plane.storage {
        let serving = Serving {
            control_plane,
            endpoint,
            etcd,
            pki,
        };
        objects.add(&deployment::build(serving));
        objects.add(&disruption::build(control_plane));
    }
    objects
}

/// Without the addon nothing of it may stay.
fn forbid_tunnel(control_plane: &ControlPlane, objects: &mut Objects<Desired>) {
    let names = &control_plane.names;
    let egress = names.config_map(ConfigMapName::EgressSelector);
    objects.forbid::<ConfigMap>(names.namespace(), egress);
    for secret in [
        SecretName::KonnectivityCertificate,
        SecretName::KonnectivityKubeconfig,
    ] {
        objects.forbid::<Secret>(names.namespace(), names.secret(secret));
    }
}

/// What only our konnectivity-servers have, which may have been replaced by another one.
fn forbid_peers(control_plane: &ControlPlane, objects: &mut Objects<Desired>) {
    let names = &control_plane.names;
    let secret = names.secret(SecretName::KonnectivityPeerCertificate);
    objects.forbid::<Secret>(names.namespace(), secret);
    objects.forbid::<Service>(names.namespace(), names.peers_service());
}

#[cfg(test)]
mod tests;
