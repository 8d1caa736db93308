//! Volumes: each container sees the files it reads, and no key that it does not use.
//!
//! The key of the cluster authority is in the volume of kube-controller-manager alone, which signs with it; those of
//! the front-proxy authority and of the tunnel's peers are in none. No file is mounted by `subPath`: such a file never changes in a running pod.
//! Files are world-readable inside their volume, for each is mounted by one container, under any user it may run as.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource,
    SecretProjection, Volume, VolumeMount, VolumeProjection,
};

use crate::names::{ConfigMapName, Names, SecretName, key};
use crate::tenant_control_plane::control_plane::TunnelImage;

/// Where the control plane's programs look for their files.
pub(super) const DIRECTORY: &str = "/etc/kubernetes";
/// Where certificates stand.
pub(super) const PKI: &str = "/etc/kubernetes/pki";
/// Where the certificates stand by which konnectivity-servers know each other.
pub(super) const PEER_FILES: &str = "/etc/kubernetes/pki/konnectivity-peer";
/// Where the egress selection stands.
pub(super) const EGRESS: &str = "/etc/kubernetes/konnectivity/configurations";
/// Where kube-apiserver and konnectivity-server meet.
pub(super) const SOCKET_DIRECTORY: &str = "/run/konnectivity";

const API_SERVER: &str = "etc-kubernetes-pki";
const CONTROLLER_MANAGER: &str = "controller-manager-kubeconfig";
const SCHEDULER: &str = "scheduler-kubeconfig";
const SOCKET: &str = "konnectivity-uds";
const EGRESS_SELECTOR: &str = "egress-selector-configuration";
const KONNECTIVITY: &str = "konnectivity-server-kubeconfig";

const MODE: i32 = 0o644;

/// The volumes of every control plane.
pub(super) fn always(names: &Names) -> Vec<Volume> {
    vec![
        projected(names, API_SERVER, API_SERVER_FILES),
        projected(names, CONTROLLER_MANAGER, CONTROLLER_MANAGER_FILES),
        projected(names, SCHEDULER, SCHEDULER_FILES),
    ]
}

/// The volumes of one with a tunnel. Our server alone checks agents' tokens, by the public key, and has peers.
pub(super) fn tunnel(names: &Names, image: &TunnelImage) -> Vec<Volume> {
    let ours = match image {
        TunnelImage::Ours(_) => OUR_KONNECTIVITY_FILES,
        TunnelImage::Literal(_) => &[],
    };
    vec![
        Volume {
            name: SOCKET.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: EGRESS_SELECTOR.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names.config_map(ConfigMapName::EgressSelector),
                default_mode: Some(MODE),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        projected(names, KONNECTIVITY, &[KONNECTIVITY_FILES, ours].concat()),
    ]
}

/// What kube-apiserver mounts.
pub(super) fn of_api_server() -> Vec<VolumeMount> {
    vec![read_only(API_SERVER, PKI)]
}

/// What kube-apiserver mounts beside when there is a tunnel.
pub(super) fn of_api_server_for_tunnel() -> Vec<VolumeMount> {
    vec![socket(), read_only(EGRESS_SELECTOR, EGRESS)]
}

/// What kube-controller-manager mounts.
pub(super) fn of_controller_manager() -> Vec<VolumeMount> {
    vec![read_only(CONTROLLER_MANAGER, DIRECTORY)]
}

/// What kube-scheduler mounts.
pub(super) fn of_scheduler() -> Vec<VolumeMount> {
    vec![read_only(SCHEDULER, DIRECTORY)]
}

/// What konnectivity-server mounts.
pub(super) fn of_tunnel_server() -> Vec<VolumeMount> {
    vec![socket(), read_only(KONNECTIVITY, DIRECTORY)]
}

/// One file: the Secret it is in, its key there, its path in the volume.
type File = (SecretName, &'static str, &'static str);

const API_SERVER_FILES: &[File] = &[
    (SecretName::ApiServer, key::API_SERVER_CRT, "apiserver.crt"),
    (SecretName::ApiServer, key::API_SERVER_KEY, "apiserver.key"),
    (SecretName::ClusterAuthority, key::CA_CRT, "ca.crt"),
    (
        SecretName::KubeletClient,
        key::KUBELET_CLIENT_CRT,
        "apiserver-kubelet-client.crt",
    ),
    (
        SecretName::KubeletClient,
        key::KUBELET_CLIENT_KEY,
        "apiserver-kubelet-client.key",
    ),
    (
        SecretName::FrontProxyAuthority,
        key::FRONT_PROXY_CA_CRT,
        "front-proxy-ca.crt",
    ),
    (
        SecretName::FrontProxyClient,
        key::FRONT_PROXY_CLIENT_CRT,
        "front-proxy-client.crt",
    ),
    (
        SecretName::FrontProxyClient,
        key::FRONT_PROXY_CLIENT_KEY,
        "front-proxy-client.key",
    ),
    (SecretName::ServiceAccount, key::SA_PUB, "sa.pub"),
    (SecretName::ServiceAccount, key::SA_KEY, "sa.key"),
    (SecretName::DataStoreCertificate, key::CA_CRT, "etcd/ca.crt"),
    (
        SecretName::DataStoreCertificate,
        key::DATA_STORE_CRT,
        "etcd/server.crt",
    ),
    (
        SecretName::DataStoreCertificate,
        key::DATA_STORE_KEY,
        "etcd/server.key",
    ),
];

const CONTROLLER_MANAGER_FILES: &[File] = &[
    (
        SecretName::ControllerManagerKubeconfig,
        key::CONTROLLER_MANAGER_CONF,
        "controller-manager.conf",
    ),
    (SecretName::ClusterAuthority, key::CA_CRT, "pki/ca.crt"),
    (SecretName::ClusterAuthority, key::CA_KEY, "pki/ca.key"),
    (
        SecretName::FrontProxyAuthority,
        key::FRONT_PROXY_CA_CRT,
        "pki/front-proxy-ca.crt",
    ),
    (SecretName::ServiceAccount, key::SA_KEY, "pki/sa.key"),
];

const SCHEDULER_FILES: &[File] = &[(
    SecretName::SchedulerKubeconfig,
    key::SCHEDULER_CONF,
    "scheduler.conf",
)];

const KONNECTIVITY_FILES: &[File] = &[
    (
        SecretName::KonnectivityKubeconfig,
        key::KONNECTIVITY_CONF,
        "konnectivity-server.conf",
    ),
    (
        SecretName::KonnectivityCertificate,
        key::TLS_CRT,
        "pki/konnectivity-server.crt",
    ),
    (
        SecretName::KonnectivityCertificate,
        key::TLS_KEY,
        "pki/konnectivity-server.key",
    ),
];

const OUR_KONNECTIVITY_FILES: &[File] = &[
    (SecretName::ServiceAccount, key::SA_PUB, "pki/sa.pub"),
    (
        SecretName::KonnectivityPeerCertificate,
        key::CA_CRT,
        "pki/konnectivity-peer/ca.crt",
    ),
    (
        SecretName::KonnectivityPeerCertificate,
        key::TLS_CRT,
        "pki/konnectivity-peer/tls.crt",
    ),
    (
        SecretName::KonnectivityPeerCertificate,
        key::TLS_KEY,
        "pki/konnectivity-peer/tls.key",
    ),
];

/// One source for each Secret, with its files in the order of the table.
fn projected(names: &Names, volume: &str, files: &[File]) -> Volume {
    let sources = files
        .chunk_by(|one, next| one.0 == next.0)
        .filter_map(|files| {
            let (secret, ..) = files.first()?;
            let items = files.iter().map(|(_, key, path)| KeyToPath {
                key: (*key).to_owned(),
                path: (*path).to_owned(),
                mode: None,
            });
            Some(VolumeProjection {
                secret: Some(SecretProjection {
                    name: names.secret(*secret),
                    items: Some(items.collect()),
                    optional: None,
                }),
                ..VolumeProjection::default()
            })
        });
    Volume {
        name: volume.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(MODE),
            sources: Some(sources.collect()),
        }),
        ..Volume::default()
    }
}

fn read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

fn socket() -> VolumeMount {
    VolumeMount {
        name: SOCKET.to_owned(),
        mount_path: SOCKET_DIRECTORY.to_owned(),
        ..VolumeMount::default()
    }
}
