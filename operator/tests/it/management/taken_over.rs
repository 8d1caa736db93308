//! What Kamaji's binary left is taken over: every object in its shape, with the keys that kubeadm makes.

use std::collections::BTreeMap;

use e2e::command::Invocation;
use e2e::kamaji::certificates::{self, Authority};
use e2e::kamaji::custom_resource::{PAUSED, status, tenant_control_plane};
use e2e::kamaji::{Contents, Former, MANAGER, objects};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use operator::etcd::Etcd;
use operator::etcd::tenancy::Tenancy;
use serde_json::{Value, json};

use super::Cluster;
use crate::support::kube_api::{missing, program};
use crate::support::management::Tenant;

const NAME: &str = "taken-over";
/// Kamaji's certificate of the tunnel cannot serve and is above all rules; its store is written without a scheme.
const RENEWED: [(&str, &str); 4] = [
    ("konnectivity-certificate", "tls.crt"),
    ("konnectivity-certificate", "tls.key"),
    ("konnectivity-kubeconfig", "konnectivity-server.conf"),
    ("datastore-config", "DB_CONNECTION_STRING"),
];

/// A tenant control plane of Kamaji's, and what was secret of it.
struct Left {
    tenant: Tenant,
    former: Former,
    contents: Contents,
    etcd: Etcd,
}

async fn left(cluster: &Cluster, kubeadm: Invocation) -> Left {
    let object = serde_json::from_value(tenant_control_plane(NAME)).unwrap();
    let tenant = Tenant::create(&cluster.client, &object).await;
    let uid = tenant.read().await.uid().unwrap();
    make(cluster, objects::service(NAME, &uid)).await;
    tenant.expose("192.0.2.10").await;
    let former = Former {
        name: NAME.to_owned(),
        uid,
        address: "192.0.2.10".to_owned(),
        store: cluster.etcd.endpoint(),
        tunnel_image: "registry.k8s.io/kas-network-proxy/proxy-server:v0.33.0".to_owned(),
    };
    let etcd = Etcd::connect(&[cluster.etcd.endpoint()], &cluster.etcd.tls("root"))
        .await
        .unwrap();
    etcd.ensure_tenant(&tenancy(&former)).await.unwrap();
    let kept = format!("/{}/registry/kept", former.schema());
    etcd.put(&kept, "for ever").await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let store = Authority {
        certificate: &cluster.etcd.authority().certificate,
        key: &cluster.etcd.authority().key,
    };
    let contents = certificates::make(&kubeadm, &former, store, folder.path()).await;
    let contents = contents.unwrap();
    for object in objects::objects(&former, &contents) {
        make(cluster, object).await;
    }
    let status = Patch::Merge(status(&former, &contents));
    let params = PatchParams::default();
    tenant
        .api
        .patch_status(NAME, &params, &status)
        .await
        .unwrap();
    Left {
        tenant,
        former,
        contents,
        etcd,
    }
}

fn tenancy(former: &Former) -> Tenancy {
    Tenancy {
        schema: former.schema(),
        user: former.schema(),
    }
}

/// Creates an object as Kamaji's binary does.
async fn make(cluster: &Cluster, object: Value) {
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    macro_rules! create {
        ($kind:ty) => {{
            let api: Api<$kind> = cluster.namespaced();
            let object = serde_json::from_value(object).unwrap();
            api.create(&params, &object).await.map(drop)
        }};
    }
    let kind = object["kind"].as_str().unwrap().to_owned();
    let created = match kind.as_str() {
        "Service" => create!(Service),
        "Secret" => create!(Secret),
        "ConfigMap" => create!(ConfigMap),
        "Deployment" => create!(Deployment),
        kind => panic!("{kind}"),
    };
    created.unwrap();
}

/// Who has stated fields of the object itself.
fn managers(metadata: &ObjectMeta) -> Vec<&str> {
    let entries = metadata.managed_fields.iter().flatten();
    let of_object = entries.filter(|entry| entry.subresource.is_none());
    of_object
        .filter_map(|entry| entry.manager.as_deref())
        .collect()
}

#[tokio::test]
async fn a_tenant_of_kamajis_is_taken_over_and_no_key_of_it_is_made_anew() {
    let Some(cluster) = Cluster::start("management").await else {
        return;
    };
    let Some(kubeadm) = program("kubeadm") else {
        return missing("management", "kubeadm");
    };
    let Left {
        tenant,
        former,
        contents,
        etcd,
    } = left(&cluster, Invocation::new([kubeadm])).await;
    assert!(contents["sa-certificate"]["sa.key"].starts_with("-----BEGIN RSA PRIVATE KEY"));
    let (services, deployments) = (
        cluster.namespaced::<Service>(),
        cluster.namespaced::<Deployment>(),
    );
    let service = services.get(NAME).await.unwrap();
    let deployment = deployments.get(NAME).await.unwrap();

    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(
        deployments.get(NAME).await.unwrap(),
        deployment,
        "Kamaji's, while it is paused"
    );
    tenant
        .edit(json!({ "metadata": { "annotations": { PAUSED: null } } }))
        .await;
    for _pass in 0..2 {
        tenant.pass(&cluster.ctx).await.unwrap();
    }

    secrets_are_kept(&cluster, &contents).await;
    objects_are_the_same(&cluster, service, deployment).await;

    let place = tenancy(&former);
    assert_eq!(etcd.count_keys(&place).await.unwrap(), 1);
    let status = tenant.read().await.status.unwrap();
    let pods = status.kubernetes_resources.unwrap().deployment.unwrap();
    assert_eq!(
        pods.ready_replicas, None,
        "Kamaji's word about pods that are no more"
    );
    let setup = status.storage.unwrap().setup.unwrap();
    assert_eq!(
        (setup.schema, setup.user),
        (Some(place.schema), Some(place.user))
    );

    cluster.writes.take();
    tenant.pass(&cluster.ctx).await.unwrap();
    assert_eq!(cluster.writes.take(), Vec::<String>::new());
}

async fn objects_are_the_same(cluster: &Cluster, service: Service, deployment: Deployment) {
    let held = cluster.namespaced::<Service>().get(NAME).await.unwrap();
    assert_eq!(managers(&held.metadata), ["warren"]);
    assert_eq!((held.uid(), &held.status), (service.uid(), &service.status));
    let (held, before) = (held.spec.unwrap(), service.spec.unwrap());
    assert_eq!(
        (held.cluster_ip, held.ports),
        (before.cluster_ip, before.ports)
    );

    let held = cluster.namespaced::<Deployment>().get(NAME).await.unwrap();
    assert_eq!(managers(&held.metadata), ["warren"]);
    assert_eq!(held.uid(), deployment.uid());
    let (held, before) = (held.spec.unwrap(), deployment.spec.unwrap());
    assert_eq!(held.selector, before.selector);
    nothing_of_kamaji(&held.template);
}

async fn secrets_are_kept(cluster: &Cluster, contents: &Contents) {
    for (suffix, data) in contents {
        let name = format!("{NAME}-{suffix}");
        let held = cluster.namespaced::<Secret>().get(&name).await.unwrap();
        assert_eq!(managers(&held.metadata), ["warren"], "{name}");
        assert_eq!(held.owner_references().len(), 1, "{name}");
        let held = held.data.unwrap();
        assert_eq!(held.len(), data.len(), "{name}");
        for (key, text) in data {
            let is_kept = held[*key].0 == text.as_bytes();
            assert_eq!(is_kept, !RENEWED.contains(&(*suffix, *key)), "{name} {key}");
        }
    }
}

/// Two managers' fields side by side would be a pod that no API server takes, or one that nobody wants.
fn nothing_of_kamaji(template: &k8s_openapi::api::core::v1::PodTemplateSpec) {
    let metadata = template.metadata.as_ref().unwrap();
    let labels: Vec<_> = metadata.labels.iter().flat_map(BTreeMap::keys).collect();
    assert_eq!(
        labels,
        [
            "kamaji.clastix.io/component",
            "kamaji.clastix.io/name",
            "kamaji.clastix.io/project"
        ]
    );
    let spec = template.spec.as_ref().unwrap();
    let names: Vec<_> = spec
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "kube-apiserver",
            "kube-scheduler",
            "kube-controller-manager",
            "konnectivity-server"
        ]
    );
    let text = serde_json::to_string(template).unwrap();
    for part in [
        "ca-certificates",
        "--server-count",
        "subPath",
        "kas-network-proxy",
        "storage.kamaji",
    ] {
        assert!(!text.contains(part), "{part} is left: {text}");
    }
    for volume in spec.volumes.iter().flatten() {
        assert!(volume.secret.is_none(), "{}", volume.name);
    }
}
