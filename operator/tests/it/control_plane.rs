//! A built control plane with the real programs: kube-apiserver, kube-controller-manager and kube-scheduler start with
//! the command lines, certificates and kubeconfigs that were built, and a real API server takes the objects.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use operator::etcd::Etcd;
use operator::etcd::tenancy::Tenancy;
use serde_json::json;

use crate::support::built::{NAMESPACE, UID, built};
use crate::support::pod::Pod;
use crate::support::secure_etcd::SecureEtcd;
use crate::support::{document_manifest, examples, manifest};

const ADMIN: &str = "admin-kubeconfig";
/// Programs of Kubernetes take that long on a busy machine.
const PATIENCE: u32 = 480;

fn free_ports() -> [i32; 3] {
    let held = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| i32::from(listener.local_addr().unwrap().port()))
}

/// A client of one of the built kubeconfigs, led to this machine.
async fn client(pod: &Pod<'_>, secret: &str, key: &str, port: i32) -> Client {
    let secret: Secret = pod.object(&format!("konnectivity-example-{secret}"));
    let text = String::from_utf8(secret.data.unwrap()[key].0.clone()).unwrap();
    let mut kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let cluster = kubeconfig.clusters[0].cluster.as_mut().unwrap();
    cluster.server = Some(format!("https://127.0.0.1:{port}"));
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

async fn whoami(client: &Client) -> Result<(String, Vec<String>), kube::Error> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user = review
        .status
        .unwrap_or_default()
        .user_info
        .unwrap_or_default();
    Ok((
        user.username.unwrap_or_default(),
        user.groups.unwrap_or_default(),
    ))
}

/// Looks until `look` finds something.
async fn until<T>(pod: &Pod<'_>, program: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _look in 0..PATIENCE {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("{program} did not come so far:\n{}", pod.said(program));
}

#[tokio::test]
async fn a_built_control_plane_serves_with_the_real_programs() {
    let Some(etcd) = SecureEtcd::start("control_plane").await else {
        return;
    };
    set_up(&etcd).await;
    let [port, controller_manager, scheduler] = free_ports();
    let mut object = document_manifest();
    object.spec.network_profile.port = port;
    let extra_args = &mut object.spec.control_plane.deployment.extra_args;
    extra_args.controller_manager = vec![format!("--secure-port={controller_manager}")];
    extra_args.scheduler = vec![format!("--secure-port={scheduler}")];
    let objects = built(object, &etcd.endpoint(), etcd.authority());
    let mut pod = Pod::of(&objects);
    if !pod.start("kube-apiserver") {
        return;
    }
    let administrator = client(&pod, ADMIN, "admin.conf", port).await;
    let break_glass = client(&pod, ADMIN, "super-admin.svc", port).await;
    let (user, groups) = until(&pod, "kube-apiserver", async || {
        whoami(&administrator).await.ok()
    })
    .await;
    assert_eq!(user, "kubernetes-admin");
    assert!(
        groups.contains(&"kubeadm:cluster-admins".to_owned()),
        "{groups:?}"
    );
    let (user, groups) = whoami(&break_glass).await.unwrap();
    assert_eq!(user, "kubernetes-super-admin");
    assert!(groups.contains(&"system:masters".to_owned()), "{groups:?}");

    let tunnel = client(
        &pod,
        "konnectivity-kubeconfig",
        "konnectivity-server.conf",
        port,
    )
    .await;
    let (user, groups) = whoami(&tunnel).await.unwrap();
    assert_eq!(user, "system:konnectivity-server");
    assert_eq!(groups, ["system:authenticated"], "and nothing more");

    objects_are_taken_and_stay_as_they_are(&break_glass, &etcd).await;

    assert!(pod.start("kube-controller-manager") && pod.start("kube-scheduler"));
    let token = tokens_are_signed(&pod, &break_glass).await;
    tokens_are_accepted(port, token).await;
    let leases = ["kube-controller-manager", "kube-scheduler"];
    for lease in leases {
        let api: Api<k8s_openapi::api::coordination::v1::Lease> =
            Api::namespaced(break_glass.clone(), "kube-system");
        until(&pod, lease, async || {
            api.get_opt(lease).await.ok().flatten()
        })
        .await;
    }
    nodes_certificates_are_signed(&pod, &break_glass).await;
}

/// Gives the tenant its place, and confines it there.
async fn set_up(etcd: &SecureEtcd) {
    let root = Etcd::connect(&[etcd.endpoint()], &etcd.tls("root"))
        .await
        .unwrap();
    let tenancy = Tenancy {
        schema: UID.to_owned(),
        user: UID.to_owned(),
    };
    root.ensure_tenant(&tenancy).await.unwrap();
    root.enforce_users().await.unwrap();
}

/// Every example's objects, applied to a real API server twice: the second time nothing changes.
async fn objects_are_taken_and_stay_as_they_are(client: &Client, etcd: &SecureEtcd) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    for (name, text) in examples() {
        let objects = built(manifest(&text), &etcd.endpoint(), etcd.authority());
        for object in objects.present() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), NAMESPACE, &object.reference.api);
            let params = PatchParams::apply("warren").force();
            let apply = async || {
                let patch = Patch::Apply(&object.body);
                let applied = api.patch(&object.reference.name, &params, &patch).await;
                applied.unwrap_or_else(|error| panic!("{name}: {}: {error}", object.reference))
            };
            let (first, second) = (apply().await, apply().await);
            assert_eq!(
                first.resource_version(),
                second.resource_version(),
                "{}",
                object.reference
            );
        }
    }
}

/// kube-controller-manager publishes the authority and makes accounts; kube-apiserver signs for them.
async fn tokens_are_signed(pod: &Pod<'_>, client: &Client) -> String {
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let find = async || config_maps.get_opt("kube-root-ca.crt").await.ok().flatten();
    let published = until(pod, "kube-controller-manager", find).await;
    let secret: Secret = pod.object("konnectivity-example-ca");
    let authority = String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap();
    assert_eq!(published.data.unwrap()["ca.crt"], authority);

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest::default();
    let sign = async || {
        let signed = accounts
            .create_token_request("default", &PostParams::default(), &request)
            .await;
        signed.ok()?.status?.token
    };
    until(pod, "kube-controller-manager", sign).await
}

async fn tokens_are_accepted(port: i32, token: String) {
    let url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let mut config = Config::new(url);
    config.accept_invalid_certs = true;
    config.auth_info = AuthInfo {
        token: Some(token.into()),
        ..AuthInfo::default()
    };
    let (user, _) = whoami(&Client::try_from(config).unwrap()).await.unwrap();
    assert_eq!(user, format!("system:serviceaccount:{NAMESPACE}:default"));
}

/// The one use of the authority's key: a request for a client certificate, approved and signed.
async fn nodes_certificates_are_signed(pod: &Pod<'_>, client: &Client) {
    use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "somebody");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let body = json!({
        "metadata": {"name": "somebody"},
        "spec": {
            "request": k8s_openapi::ByteString(request.into_bytes()),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    });
    let body = serde_json::from_value(body).unwrap();
    api.create(&PostParams::default(), &body).await.unwrap();
    let approval = json!({"status": {"conditions": [
        {"type": "Approved", "status": "True", "reason": "Test", "message": "by the test"},
    ]}});
    api.patch_approval(
        "somebody",
        &PatchParams::default(),
        &Patch::Merge(&approval),
    )
    .await
    .unwrap();
    let signed = async || api.get("somebody").await.ok()?.status?.certificate;
    let certificate = until(pod, "kube-controller-manager", signed).await;
    let certificate = String::from_utf8(certificate.0).unwrap();
    assert_eq!(
        operator::pki::common_name(&certificate).as_deref(),
        Some("somebody")
    );
}
