//! What is rendered for the tunnel's server is what the tunnel's server takes.

use std::time::Duration;

use operator::api::TenantControlPlane;
use operator::api::tenant_control_plane::EgressProtocol;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tunnel::flags;
use tunnel::protocol::peer;
use tunnel::server::args::Args;
use tunnel::server::settings::{Mode, Place, Settings};
use tunnel::tls::{Acceptor, client_config};

use crate::support::built::built;
use crate::support::document_manifest;
use crate::support::pod::{POD_UID, Pod};
use crate::support::secure_etcd::Authority;

/// The settings that a built konnectivity-server starts with.
fn settings(object: TenantControlPlane) -> Settings {
    let objects = built(object, "etcd.example.org:2379", &Authority::create());
    settings_of(&Pod::of(&objects))
}

/// The same, with files that are there as long as the pod is.
fn settings_of(pod: &Pod<'_>) -> Settings {
    let mut command_line = vec!["/proxy-server".to_owned()];
    command_line.extend(pod.arguments("konnectivity-server"));
    let parsed = flags::parse::<Args>(command_line).expect("every flag is known");
    assert!(parsed.notices.is_empty(), "{:?}", parsed.notices);
    Settings::try_from(parsed.args).expect("the flags fit together")
}

#[test]
fn the_tunnels_server_starts_with_what_is_rendered() {
    let settings = settings(document_manifest());
    assert_eq!(settings.server_id, POD_UID);
    assert_eq!(settings.server_count, 1, "replicas are counted by leases");
    assert_eq!(settings.frontend.mode, Mode::HttpConnect);
    assert!(matches!(&settings.frontend.place, Place::Unix { path, .. }
        if path.ends_with("run/konnectivity/konnectivity-server.socket")));
    assert_eq!(settings.agents.address.rsplit(':').next(), Some("8132"));
    assert!(
        settings
            .agents
            .tls
            .cert
            .ends_with("pki/konnectivity-server.crt")
    );
    let token = settings.agents.token.expect("agents show tokens");
    assert_eq!(token.service_account, "konnectivity-agent");
    assert_eq!(token.audience, "system:konnectivity-server");
    let leases = settings.leases.expect("servers publish leases");
    assert_eq!(leases.namespace, "kube-system");
    assert!(settings.kubernetes.kubeconfig.is_some());
    assert_eq!(settings.graceful_shutdown_timeout, Duration::from_secs(30));
}

/// Two replicas, with the files that both mount.
#[tokio::test]
async fn servers_believe_each_other_by_what_is_issued() {
    let objects = built(
        document_manifest(),
        "etcd.example.org:2379",
        &Authority::create(),
    );
    let pod = Pod::of(&objects);
    let peers = settings_of(&pod).peers.expect("servers know each other");
    let service = "konnectivity-example-konnectivity-peers.tenants.svc:8135";
    assert_eq!(peers.names, [service]);
    assert_eq!(peers.port, 8135);

    let files = peers.tls;
    let authority = files.client_ca.expect("siblings show a certificate");
    let acceptor = Acceptor::new(&files.cert, &files.key, Some(&authority), &[peer::ALPN]).unwrap();
    let identity = (files.cert, files.key);
    let protocol = String::from_utf8(peer::ALPN.to_vec()).unwrap();
    let config = client_config(&authority, Some(&identity), &[protocol]).unwrap();
    let name = ServerName::try_from(peer::NAME).unwrap();
    let (here, there) = tokio::io::duplex(1 << 16);
    let (served, dialled) = tokio::join!(
        acceptor.accept(here),
        TlsConnector::from(config).connect(name, there)
    );
    served.expect("the one that is dialled believes the other");
    dialled.expect("and the other way round");
}

#[test]
fn the_mode_follows_the_egress_protocol() {
    let mut object = document_manifest();
    let konnectivity = object
        .spec
        .addons
        .konnectivity
        .as_mut()
        .expect("the addon is on");
    konnectivity.server.egress_protocol = EgressProtocol::GRPC;
    assert_eq!(settings(object).frontend.mode, Mode::Grpc);
}

#[test]
fn flags_of_the_user_reach_the_tunnels_server() {
    let mut object = document_manifest();
    let konnectivity = object
        .spec
        .addons
        .konnectivity
        .as_mut()
        .expect("the addon is on");
    konnectivity.server.extra_args = vec![
        "--proxy-strategies=destHost,default".to_owned(),
        "--server-count=9".to_owned(),
        "--agent-port=1".to_owned(),
    ];
    let settings = settings(object);
    assert_eq!(settings.strategies.len(), 2);
    assert_eq!(
        settings.server_count, 1,
        "it is ours, and never the number of replicas"
    );
    assert_eq!(settings.agents.address.rsplit(':').next(), Some("8132"));
}
