//! Every name the operator derives from a `TenantControlPlane`.
//!
//! In comes the name and namespace of the custom resource; out come legal Kubernetes names for everything that is
//! made for it. The suffixes are those Kamaji uses, so that objects it left behind are found and adopted. No suffix
//! is the end of another one, hence two tenants of one namespace can never claim the same Secret or `ConfigMap`. The
//! peers' Service alone may have the bare name of another tenant: who comes later is refused.

use std::fmt;

use crate::checksum;

/// Longest name of a `TenantControlPlane`: it is also the name of a Service and the value of a label.
pub const MAX_NAME_LENGTH: usize = 63;

/// Characters of a digest that stand for what a name has no room for.
const DIGEST: usize = 8;

/// What follows the tenant's name and a dash in the name of the peers' Service, and its component label.
pub const PEERS: &str = "konnectivity-peers";

/// The Secrets of one tenant control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretName {
    /// The cluster authority: signs everything the tenant cluster trusts.
    ClusterAuthority,
    /// The authority behind request headers of aggregated APIs.
    FrontProxyAuthority,
    /// The key pair that signs and verifies service-account tokens.
    ServiceAccount,
    /// Serving certificate of kube-apiserver.
    ApiServer,
    /// Client certificate kube-apiserver shows to kubelets.
    KubeletClient,
    /// Client certificate kube-apiserver shows to aggregated APIs.
    FrontProxyClient,
    /// Kubeconfigs for people: `admin.conf`, `super-admin.conf` and their `.svc` forms.
    AdminKubeconfig,
    /// Kubeconfig of kube-controller-manager.
    ControllerManagerKubeconfig,
    /// Kubeconfig of kube-scheduler.
    SchedulerKubeconfig,
    /// Where the tenant's state lives and as whom it is read.
    DataStoreConfig,
    /// Client certificate for the data store.
    DataStoreCertificate,
    /// Certificate of konnectivity-server.
    KonnectivityCertificate,
    /// Kubeconfig of konnectivity-server.
    KonnectivityKubeconfig,
    /// Authority and certificate by which konnectivity-servers of different replicas know each other.
    KonnectivityPeerCertificate,
}

impl SecretName {
    /// All of them, in the order they are applied.
    pub const ALL: [Self; 14] = [
        Self::ClusterAuthority,
        Self::FrontProxyAuthority,
        Self::ServiceAccount,
        Self::ApiServer,
        Self::KubeletClient,
        Self::FrontProxyClient,
        Self::AdminKubeconfig,
        Self::ControllerManagerKubeconfig,
        Self::SchedulerKubeconfig,
        Self::DataStoreConfig,
        Self::DataStoreCertificate,
        Self::KonnectivityCertificate,
        Self::KonnectivityKubeconfig,
        Self::KonnectivityPeerCertificate,
    ];

    /// What follows the tenant's name and a dash, and at the same time the object's component label.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::ClusterAuthority => "ca",
            Self::FrontProxyAuthority => "front-proxy-ca-certificate",
            Self::ServiceAccount => "sa-certificate",
            Self::ApiServer => "api-server-certificate",
            Self::KubeletClient => "api-server-kubelet-client-certificate",
            Self::FrontProxyClient => "front-proxy-client-certificate",
            Self::AdminKubeconfig => "admin-kubeconfig",
            Self::ControllerManagerKubeconfig => "controller-manager-kubeconfig",
            Self::SchedulerKubeconfig => "scheduler-kubeconfig",
            Self::DataStoreConfig => "datastore-config",
            Self::DataStoreCertificate => "datastore-certificate",
            Self::KonnectivityCertificate => "konnectivity-certificate",
            Self::KonnectivityKubeconfig => "konnectivity-kubeconfig",
            Self::KonnectivityPeerCertificate => "konnectivity-peer-certificate",
        }
    }
}

/// The `ConfigMaps` of one tenant control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigMapName {
    /// What `kubeadm init` would have been given.
    KubeadmConfig,
    /// kube-apiserver's egress selection, which points at konnectivity-server.
    EgressSelector,
}

impl ConfigMapName {
    /// All of them, in the order they are applied.
    pub const ALL: [Self; 2] = [Self::KubeadmConfig, Self::EgressSelector];

    /// What follows the tenant's name and a dash, and at the same time the object's component label.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::KubeadmConfig => "kubeadmconfig",
            Self::EgressSelector => "konnectivity-egress-selector-configuration",
        }
    }
}

/// A name that cannot be used for a `TenantControlPlane`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "metadata.name `{name}` is not a DNS-1035 label: use at most {MAX_NAME_LENGTH} of a-z, 0-9 and `-`, \
     starting with a letter and ending with a letter or digit"
)]
pub struct InvalidName {
    /// What was given.
    pub name: String,
}

/// The validated name of a `TenantControlPlane` and everything derived from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names {
    namespace: String,
    name: String,
}

impl Names {
    /// Accepts a name that is legal for all derived objects.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        if is_dns_1035_label(&name) {
            Ok(Self {
                namespace: namespace.into(),
                name,
            })
        } else {
            Err(InvalidName { name })
        }
    }

    /// The namespace of the custom resource and of all its objects.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name of the custom resource; also that of its Service, Deployment and `PodDisruptionBudget`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of one of its Secrets.
    pub fn secret(&self, secret: SecretName) -> String {
        format!("{}-{}", self.name, secret.suffix())
    }

    /// The name of one of its `ConfigMaps`.
    pub fn config_map(&self, config_map: ConfigMapName) -> String {
        format!("{}-{}", self.name, config_map.suffix())
    }

    /// The names by which the Service is resolved inside the management cluster, shortest first.
    ///
    /// The last one carries the usual cluster domain; Kamaji states it whatever the management cluster's real one
    /// is, and certificates that lack it would be renewed after moving back.
    pub fn service_hosts(&self) -> [String; 3] {
        [
            self.name.clone(),
            self.service_host(),
            format!("{}.cluster.local", self.service_host()),
        ]
    }

    /// The name the operator itself, and the `.svc` kubeconfigs, dial.
    pub fn service_host(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// The name of the headless Service through which its konnectivity-servers find each other.
    ///
    /// A Service's name is as short as the tenant's may be: where the suffix has no room, the end of the tenant's name
    /// gives way to a digest of all of it.
    pub fn peers_service(&self) -> String {
        let room = MAX_NAME_LENGTH - PEERS.len() - 1;
        if self.name.len() <= room {
            return format!("{}-{PEERS}", self.name);
        }
        let digest: String = checksum::of_text(&self.name).chars().take(DIGEST).collect();
        let start: String = self.name.chars().take(room - DIGEST - 1).collect();
        format!("{start}-{digest}-{PEERS}")
    }

    /// The name under which konnectivity-servers look each other up.
    pub fn peers_host(&self) -> String {
        format!("{}.{}.svc", self.peers_service(), self.namespace)
    }

    /// Every name of the peers' Service inside the management cluster, shortest first.
    pub fn peers_hosts(&self) -> [String; 4] {
        [
            self.peers_service(),
            format!("{}.{}", self.peers_service(), self.namespace),
            self.peers_host(),
            format!("{}.cluster.local", self.peers_host()),
        ]
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// RFC 1035 as Kubernetes reads it: `[a-z]([-a-z0-9]*[a-z0-9])?`, at most 63 characters.
fn is_dns_1035_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME_LENGTH
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|last| *last != b'-')
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// Keys inside Secrets and `ConfigMaps`: part of the contract, read by provider, scripts and pods.
pub mod key {
    /// Certificate of the authority that a Secret is about.
    pub const CA_CRT: &str = "ca.crt";
    /// Its key.
    pub const CA_KEY: &str = "ca.key";
    /// Second spelling of a certificate, which the Cluster API provider and TLS Secrets use.
    pub const TLS_CRT: &str = "tls.crt";
    /// Second spelling of a key, which the Cluster API provider and TLS Secrets use.
    pub const TLS_KEY: &str = "tls.key";
    /// Certificate of the front-proxy authority.
    pub const FRONT_PROXY_CA_CRT: &str = "front-proxy-ca.crt";
    /// Key of the front-proxy authority.
    pub const FRONT_PROXY_CA_KEY: &str = "front-proxy-ca.key";
    /// Public half of the service-account pair.
    pub const SA_PUB: &str = "sa.pub";
    /// Private half of the service-account pair.
    pub const SA_KEY: &str = "sa.key";
    /// Serving certificate of kube-apiserver.
    pub const API_SERVER_CRT: &str = "apiserver.crt";
    /// Its key.
    pub const API_SERVER_KEY: &str = "apiserver.key";
    /// Client certificate for kubelets.
    pub const KUBELET_CLIENT_CRT: &str = "apiserver-kubelet-client.crt";
    /// Its key.
    pub const KUBELET_CLIENT_KEY: &str = "apiserver-kubelet-client.key";
    /// Client certificate for aggregated APIs.
    pub const FRONT_PROXY_CLIENT_CRT: &str = "front-proxy-client.crt";
    /// Its key.
    pub const FRONT_PROXY_CLIENT_KEY: &str = "front-proxy-client.key";
    /// Administrator, through the exposed endpoint.
    pub const ADMIN_CONF: &str = "admin.conf";
    /// Administrator, through the Service's name.
    pub const ADMIN_SVC: &str = "admin.svc";
    /// Break-glass administrator, through the exposed endpoint.
    pub const SUPER_ADMIN_CONF: &str = "super-admin.conf";
    /// Break-glass administrator, through the Service's name.
    pub const SUPER_ADMIN_SVC: &str = "super-admin.svc";
    /// Kubeconfig of kube-controller-manager.
    pub const CONTROLLER_MANAGER_CONF: &str = "controller-manager.conf";
    /// Kubeconfig of kube-scheduler.
    pub const SCHEDULER_CONF: &str = "scheduler.conf";
    /// Kubeconfig of konnectivity-server.
    pub const KONNECTIVITY_CONF: &str = "konnectivity-server.conf";
    /// Certificate for the data store.
    pub const DATA_STORE_CRT: &str = "server.crt";
    /// Its key.
    pub const DATA_STORE_KEY: &str = "server.key";
    /// Where the data store listens.
    pub const DB_CONNECTION_STRING: &str = "DB_CONNECTION_STRING";
    /// Database, prefix or bucket of the tenant.
    pub const DB_SCHEMA: &str = "DB_SCHEMA";
    /// User of the tenant.
    pub const DB_USER: &str = "DB_USER";
    /// The user's password.
    pub const DB_PASSWORD: &str = "DB_PASSWORD";
    /// kubeadm's `InitConfiguration`.
    pub const INIT_CONFIGURATION: &str = "InitConfiguration";
    /// kubeadm's `ClusterConfiguration`.
    pub const CLUSTER_CONFIGURATION: &str = "ClusterConfiguration";
    /// kube-apiserver's egress selection.
    pub const EGRESS_SELECTOR: &str = "egress-selector-configuration.yaml";
}

#[cfg(test)]
mod tests;
