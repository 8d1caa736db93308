//! Checksums on the pod template: a change of these rolls the pods.
//!
//! Only what a running process does not read again by itself is here:
//!
//! | input | who reads it | again? |
//! |---|---|---|
//! | apiserver pair, kubelet client, front-proxy client | kube-apiserver | yes: not here |
//! | `ca.crt` and `front-proxy-ca.crt` as client authorities | kube-apiserver, kube-controller-manager | yes |
//! | etcd client pair | kube-apiserver | yes, at each handshake: not here |
//! | etcd authority | kube-apiserver | no: `datastore-ca` |
//! | `ca.crt` as `--root-ca-file` | kube-controller-manager | no: `ca` |
//! | `sa.pub`, `sa.key` | kube-apiserver, kube-controller-manager | no: `service-account` |
//! | kubeconfigs, whose certificates are embedded | kube-controller-manager, kube-scheduler | no: `…-kubeconfig` |
//! | egress selection | kube-apiserver | no: `egress-selector` |
//! | certificate, kubeconfig and `sa.pub` of the tunnel | our konnectivity-server | yes: not here |
//! | the same | another one, as the reference loads them once | no: `konnectivity` |
//! | certificate and authority of the tunnel's peers | our konnectivity-server | yes: not here |
//!
//! All leaves are issued together, hence due together, hence renewed in one roll.

use std::collections::BTreeMap;

use crate::names::{SecretName, key};
use crate::tenant_control_plane::control_plane::TunnelImage;
use crate::{checksum, labels};

use super::{Serving, config_maps};

/// The annotations.
pub(super) fn annotations(serving: Serving<'_>) -> BTreeMap<String, String> {
    let secrets = [
        ("ca", SecretName::ClusterAuthority, key::CA_CRT),
        ("service-account", SecretName::ServiceAccount, key::SA_KEY),
        (
            "controller-manager-kubeconfig",
            SecretName::ControllerManagerKubeconfig,
            key::CONTROLLER_MANAGER_CONF,
        ),
        (
            "scheduler-kubeconfig",
            SecretName::SchedulerKubeconfig,
            key::SCHEDULER_CONF,
        ),
        (
            "datastore-ca",
            SecretName::DataStoreCertificate,
            key::CA_CRT,
        ),
    ];
    let secrets = secrets
        .into_iter()
        .chain(literal_tunnel(serving))
        .filter_map(|(input, secret, key)| {
            let text = serving.pki.text(secret, key)?;
            Some((input, checksum::of_text(text)))
        });
    secrets
        .chain(egress_selector(serving))
        .map(|(input, checksum)| (format!("{}/{input}", labels::INPUT_PREFIX), checksum))
        .collect()
}

/// The tunnel's kubeconfig embeds its certificate, so that one text stands for both.
fn literal_tunnel(serving: Serving<'_>) -> Option<(&'static str, SecretName, &'static str)> {
    let tunnel = serving.control_plane.tunnel.as_ref()?;
    let input = (
        "konnectivity",
        SecretName::KonnectivityKubeconfig,
        key::KONNECTIVITY_CONF,
    );
    matches!(tunnel.image, TunnelImage::Literal(_)).then_some(input)
}

fn egress_selector(serving: Serving<'_>) -> Option<(&'static str, String)> {
    let tunnel = serving.control_plane.tunnel.as_ref()?;
    let config_map = config_maps::egress_selector(serving.control_plane, tunnel);
    Some(("egress-selector", checksum::of(&config_map.data?)))
}
