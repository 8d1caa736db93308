//! The leaf table: one row per certificate that an authority signs.
//!
//! No row but the break-glass administrator is in `system:masters`: whoever holds that group is beyond RBAC, and
//! neither the tunnel server nor the data store's user has any use for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType,
};

use super::{CLOCK_SKEW, Error, offset_date_time};

const LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);

/// The leaves with a fixed identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// What kube-apiserver serves with.
    ApiServer,
    /// kube-apiserver towards kubelets; bound to `system:kubelet-api-admin` inside the tenant.
    KubeletClient,
    /// kube-apiserver towards aggregated APIs.
    FrontProxyClient,
    /// The administrator, by RBAC.
    Admin,
    /// The administrator, beyond RBAC.
    SuperAdmin,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// konnectivity-server: towards agents as server, towards kube-apiserver as client.
    Konnectivity,
    /// konnectivity-server towards those of the other replicas, both ways.
    KonnectivityPeer,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To serve.
    Server,
    /// To dial.
    Client,
    /// Both.
    Both,
}

impl Usage {
    pub(super) const fn serves(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }

    pub(super) const fn dials(self) -> bool {
        matches!(self, Self::Client | Self::Both)
    }
}

/// One name in a certificate, in the form in which names are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// An address.
    Ip(IpAddr),
    /// A host name, lower case.
    Dns(String),
}

impl San {
    /// Reads an address or a host name; brackets around an IPv6 address are accepted.
    pub fn parse(text: &str) -> Self {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        bare.parse()
            .map_or_else(|_| Self::Dns(text.to_ascii_lowercase()), Self::Ip)
    }
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(host) => host.fmt(f),
        }
    }
}

/// What a leaf must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who it is.
    pub common_name: String,
    /// Which groups it is in.
    pub organization: Option<&'static str>,
    /// What it may be used for.
    pub usage: Usage,
    /// Under which names it serves.
    pub sans: BTreeSet<San>,
}

impl Request {
    /// The row of a leaf that only dials.
    pub fn client(leaf: Leaf) -> Self {
        Self::server(leaf, BTreeSet::new())
    }

    /// The row of a leaf that serves under these names.
    pub fn server(leaf: Leaf, sans: BTreeSet<San>) -> Self {
        let (common_name, organization, usage) = match leaf {
            Leaf::ApiServer => ("kube-apiserver", None, Usage::Server),
            Leaf::KubeletClient => ("kube-apiserver-kubelet-client", None, Usage::Client),
            Leaf::FrontProxyClient => ("front-proxy-client", None, Usage::Client),
            Leaf::Admin => (
                "kubernetes-admin",
                Some("kubeadm:cluster-admins"),
                Usage::Client,
            ),
            Leaf::SuperAdmin => (
                "kubernetes-super-admin",
                Some("system:masters"),
                Usage::Client,
            ),
            Leaf::ControllerManager => ("system:kube-controller-manager", None, Usage::Client),
            Leaf::Scheduler => ("system:kube-scheduler", None, Usage::Client),
            Leaf::Konnectivity => ("system:konnectivity-server", None, Usage::Both),
            Leaf::KonnectivityPeer => ("system:konnectivity-server-peer", None, Usage::Both),
        };
        Self {
            common_name: common_name.to_owned(),
            organization,
            usage,
            sans,
        }
    }

    /// The client certificate of a tenant's user in its data store.
    pub fn data_store_user(user: &str) -> Self {
        Self {
            common_name: user.to_owned(),
            organization: None,
            usage: Usage::Client,
            sans: BTreeSet::new(),
        }
    }

    pub(super) fn params(&self, now: Timestamp) -> Result<CertificateParams, Error> {
        let mut distinguished_name = DistinguishedName::new();
        if let Some(organization) = self.organization {
            distinguished_name.push(DnType::OrganizationName, organization);
        }
        distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        let server = self
            .usage
            .serves()
            .then_some(ExtendedKeyUsagePurpose::ServerAuth);
        let client = self
            .usage
            .dials()
            .then_some(ExtendedKeyUsagePurpose::ClientAuth);
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = server.into_iter().chain(client).collect();
        params.subject_alt_names = self.sans.iter().map(san_type).collect::<Result<_, _>>()?;
        params.use_authority_key_identifier_extension = true;
        params.not_before = offset_date_time(now - CLOCK_SKEW);
        params.not_after = offset_date_time(now + LIFE);
        Ok(params)
    }
}

fn san_type(san: &San) -> Result<SanType, Error> {
    match san {
        San::Ip(address) => Ok(SanType::IpAddress(*address)),
        San::Dns(host) => host
            .as_str()
            .try_into()
            .map(SanType::DnsName)
            .map_err(|source| Error::Name {
                name: host.clone(),
                source,
            }),
    }
}
