//! Which Secret holds what: the rows of `issue`, in apply order.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use crate::names::{SecretName, key};
use crate::pki::leaf::San;
use crate::pki::{self, Authority, Leaf, Request, authority};
use crate::tenant_control_plane::control_plane::{ControlPlane, Endpoint, EtcdStorage, Storage};
use crate::tenant_control_plane::observed::Observed;
use crate::tenant_control_plane::validate::service_address;

use super::secret::{KubeconfigFile, PairKeys, Workbench};
use super::{Error, Pki};

/// Under which name kube-apiserver is checked by those who dial it on the loopback address of its pod.
const LOCAL_SERVER_NAME: &str = "kubernetes.default.svc";
/// Under which name our konnectivity-servers check each other, at whatever address they dial.
const PEER_SERVER_NAME: &str = "konnectivity-server-peer";

/// Fills every Secret.
pub(super) fn fill(
    control_plane: &ControlPlane,
    endpoint: &Endpoint,
    observed: &Observed,
    now: Timestamp,
) -> Result<Pki, Error> {
    let mut bench = Workbench::new(&control_plane.names, observed, now);
    let cluster = cluster_authority(&mut bench)?;
    front_proxy(&mut bench)?;
    bench.service_account()?;
    serving(&mut bench, control_plane, endpoint, (observed, &cluster))?;
    administrators(&mut bench, control_plane, endpoint, &cluster)?;
    components(&mut bench, control_plane, endpoint, &cluster)?;
    if control_plane.tunnel.is_some() {
        konnectivity(&mut bench, control_plane, endpoint, &cluster)?;
    }
    if control_plane.has_peers() {
        konnectivity_peers(&mut bench, control_plane)?;
    }
    if let Storage::Etcd(etcd) = &control_plane.storage {
        data_store(&mut bench, control_plane, etcd)?;
    }
    let (secrets, look_again) = bench.finish();
    Ok(Pki {
        secrets,
        look_again,
    })
}

const fn pair(certificate: &'static str, key: &'static str) -> PairKeys {
    PairKeys { certificate, key }
}

/// Written in two spellings: the Cluster API provider reads the second one.
fn cluster_authority(bench: &mut Workbench<'_>) -> Result<Authority, Error> {
    let spellings = [
        pair(key::CA_CRT, key::CA_KEY),
        pair(key::TLS_CRT, key::TLS_KEY),
    ];
    bench.authority(SecretName::ClusterAuthority, &spellings, authority::CLUSTER)
}

fn front_proxy(bench: &mut Workbench<'_>) -> Result<(), Error> {
    let spellings = [pair(key::FRONT_PROXY_CA_CRT, key::FRONT_PROXY_CA_KEY)];
    let authority = bench.authority(
        SecretName::FrontProxyAuthority,
        &spellings,
        authority::FRONT_PROXY,
    )?;
    bench
        .leaf(
            SecretName::FrontProxyClient,
            pair(key::FRONT_PROXY_CLIENT_CRT, key::FRONT_PROXY_CLIENT_KEY),
            &Request::client(Leaf::FrontProxyClient),
            &authority,
        )
        .map(drop)
}

fn serving(
    bench: &mut Workbench<'_>,
    control_plane: &ControlPlane,
    endpoint: &Endpoint,
    (observed, cluster): (&Observed, &Authority),
) -> Result<(), Error> {
    let least = Request::server(Leaf::ApiServer, api_server_names(control_plane, endpoint));
    // Kamaji does not state the Service's own address, and nobody of ours asks for it: no reason for a new key.
    let mut full = least.clone();
    let address = observed.service.as_ref().and_then(service_address);
    full.sans.extend(address.map(San::Ip));
    bench.leaf_of(
        SecretName::ApiServer,
        pair(key::API_SERVER_CRT, key::API_SERVER_KEY),
        (&least, &full),
        cluster,
    )?;
    bench
        .leaf(
            SecretName::KubeletClient,
            pair(key::KUBELET_CLIENT_CRT, key::KUBELET_CLIENT_KEY),
            &Request::client(Leaf::KubeletClient),
            cluster,
        )
        .map(drop)
}

/// Two people in one Secret: the administrator by RBAC, and the one beyond it for emergencies and the operator.
fn administrators(
    bench: &mut Workbench<'_>,
    control_plane: &ControlPlane,
    endpoint: &Endpoint,
    cluster: &Authority,
) -> Result<(), Error> {
    let through = |key, server: String| KubeconfigFile {
        key,
        cluster: control_plane.names.name().to_owned(),
        server,
        server_name: None,
    };
    let exposed = format!("https://{}", endpoint.authority());
    let service = format!(
        "https://{}:{}",
        control_plane.names.service_host(),
        endpoint.port
    );
    let secret = SecretName::AdminKubeconfig;
    let admin = [
        through(key::ADMIN_CONF, exposed.clone()),
        through(key::ADMIN_SVC, service.clone()),
    ];
    bench.kubeconfigs(secret, &admin, &Request::client(Leaf::Admin), cluster)?;
    let super_admin = [
        through(key::SUPER_ADMIN_CONF, exposed),
        through(key::SUPER_ADMIN_SVC, service),
    ];
    bench.kubeconfigs(
        secret,
        &super_admin,
        &Request::client(Leaf::SuperAdmin),
        cluster,
    )
}

/// What runs beside kube-apiserver dials it on the loopback address.
fn components(
    bench: &mut Workbench<'_>,
    control_plane: &ControlPlane,
    endpoint: &Endpoint,
    cluster: &Authority,
) -> Result<(), Error> {
    let rows = [
        (
            SecretName::ControllerManagerKubeconfig,
            key::CONTROLLER_MANAGER_CONF,
            Leaf::ControllerManager,
        ),
        (
            SecretName::SchedulerKubeconfig,
            key::SCHEDULER_CONF,
            Leaf::Scheduler,
        ),
    ];
    for (secret, key, leaf) in rows {
        let file = KubeconfigFile {
            key,
            cluster: control_plane.names.name().to_owned(),
            server: local_server(endpoint),
            server_name: None,
        };
        bench.kubeconfigs(secret, &[file], &Request::client(leaf), cluster)?;
    }
    Ok(())
}

/// One leaf serves agents and dials kube-apiserver, so that the pod's most exposed process holds no key but its own.
fn konnectivity(
    bench: &mut Workbench<'_>,
    control_plane: &ControlPlane,
    endpoint: &Endpoint,
    cluster: &Authority,
) -> Result<(), Error> {
    let request = Request::server(Leaf::Konnectivity, exposed_names(control_plane, endpoint));
    let identity = bench.leaf(
        SecretName::KonnectivityCertificate,
        pair(key::TLS_CRT, key::TLS_KEY),
        &request,
        cluster,
    )?;
    let file = KubeconfigFile {
        key: key::KONNECTIVITY_CONF,
        cluster: authority::CLUSTER.to_owned(),
        server: local_server(endpoint),
        server_name: Some(LOCAL_SERVER_NAME),
    };
    bench.write_kubeconfigs(
        SecretName::KonnectivityKubeconfig,
        &[file],
        &identity,
        cluster,
    );
    Ok(())
}

/// An authority of their own: whoever holds its key can have a tenant's traffic relayed, and nobody else needs to be
/// believed.
fn konnectivity_peers(
    bench: &mut Workbench<'_>,
    control_plane: &ControlPlane,
) -> Result<(), Error> {
    const SECRET: SecretName = SecretName::KonnectivityPeerCertificate;
    let authority = bench.replaceable_authority(
        SECRET,
        pair(key::CA_CRT, key::CA_KEY),
        authority::KONNECTIVITY_PEERS,
    )?;
    let hosts = control_plane.names.peers_hosts().into_iter();
    let hosts = hosts.chain([PEER_SERVER_NAME.to_owned()]);
    let request = Request::server(Leaf::KonnectivityPeer, hosts.map(San::Dns).collect());
    bench
        .leaf(
            SECRET,
            pair(key::TLS_CRT, key::TLS_KEY),
            &request,
            &authority,
        )
        .map(drop)
}

fn data_store(
    bench: &mut Workbench<'_>,
    control_plane: &ControlPlane,
    etcd: &EtcdStorage,
) -> Result<(), Error> {
    let tenancy = &control_plane.tenancy;
    let config = SecretName::DataStoreConfig;
    bench.put(config, key::DB_CONNECTION_STRING, &etcd.endpoints.join(","));
    bench.put(config, key::DB_SCHEMA, &tenancy.schema);
    bench.put(config, key::DB_USER, &tenancy.user);
    bench.keep_or(config, key::DB_PASSWORD, pki::password);

    let authority = Authority::read(etcd.authority.clone()).map_err(Error::DataStoreAuthority)?;
    let certificate = SecretName::DataStoreCertificate;
    bench.put(certificate, key::CA_CRT, authority.certificate());
    bench
        .leaf(
            certificate,
            pair(key::DATA_STORE_CRT, key::DATA_STORE_KEY),
            &Request::data_store_user(&tenancy.user),
            &authority,
        )
        .map(drop)
}

fn local_server(endpoint: &Endpoint) -> String {
    format!("https://127.0.0.1:{}", endpoint.port)
}

/// The names under which the control plane is reached from outside its pods.
fn exposed_names(control_plane: &ControlPlane, endpoint: &Endpoint) -> BTreeSet<San> {
    let mut names = control_plane.network.stated_names.clone();
    names.extend([
        San::parse(&endpoint.host),
        San::parse(&endpoint.assigned),
        San::Ip(endpoint.advertise),
    ]);
    names.extend(control_plane.names.service_hosts().map(San::Dns));
    names
}

/// The same, and those that hold inside the tenant cluster and inside the pod.
fn api_server_names(control_plane: &ControlPlane, endpoint: &Endpoint) -> BTreeSet<San> {
    let network = &control_plane.network;
    let mut names = exposed_names(control_plane, endpoint);
    let inside = [
        "kubernetes",
        "kubernetes.default",
        LOCAL_SERVER_NAME,
        "localhost",
    ];
    names.extend(inside.map(|name| San::Dns(name.to_owned())));
    names.insert(San::Dns(format!(
        "{LOCAL_SERVER_NAME}.{}",
        network.cluster_domain
    )));
    names.insert(San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    names.extend(network.kubernetes_service_ips().map(San::Ip));
    names
}
