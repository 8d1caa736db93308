//! A tenant control plane that Kamaji made is taken over.
//!
//! It runs before we come: every object in Kamaji's shape and written as Kamaji's binary does, RSA keys in PKCS#1, its
//! data under a prefix that is not its UID, a worker joined with `kubeadm join`, the reference's way of the tunnel. The
//! annotation that pauses stands for the time in which the operator is not there yet; when it goes, one roll later all
//! is ours. What is proved: authorities, keys, kubeconfigs and data are the same to the byte, Service and Deployment the
//! same objects, the node was ready all the time, tokens made before are good, the tunnel works, and in the end nothing
//! of Kamaji's, finalizers included, holds up the deletion. No program of Kamaji's runs here: its shapes are from its
//! sources.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::heritage::{expect_kept, expect_same, node, secrets};
use crate::cluster::Cluster;
use crate::demo::{Demo, rows};
use crate::error::{Error, Result};
use crate::image::product;
use crate::kamaji::certificates::{self, Authority};
use crate::kamaji::custom_resource::{PAUSED, status, tenant_control_plane};
use crate::kamaji::{Former, MANAGER, inside, objects};
use crate::lab::Lab;
use crate::wait::{Seen, timed, until};
use crate::warren::{Tenant, wait_agents_ready};
use crate::{replica, store};

/// Its node.
pub(super) const WORKER: &str = "worker1";
const NAME: &str = "made-by-kamaji";
/// Kamaji's certificate of the tunnel cannot serve and is above all rules; its store is written without a scheme.
const RENEWED: [&str; 3] = [
    "konnectivity-certificate/",
    "konnectivity-kubeconfig/",
    "datastore-config/DB_CONNECTION_STRING",
];

/// Takes it over.
pub(super) async fn adopted(demo: &Demo) -> Result<String> {
    let lab = &demo.lab;
    let (tenant, management) = (Tenant::new(lab, NAME), lab.management());
    let images = [product::tunnel_archive(lab.place())];
    let (cluster, worker) =
        tokio::try_join!(start(lab, &tenant), lab.boot_worker(WORKER, &images))?;
    worker.join(&cluster).await?;
    wait_agents_ready(&cluster).await?;
    replica::wait_all_reach(lab, &tenant, &cluster, WORKER).await?;

    let token = token(&cluster).await?;
    let kept = rows::random();
    let keep = [
        "create",
        "configmap",
        "kept",
        &format!("--from-literal=value={kept}"),
    ];
    cluster.kubectl(keep).run().await?;
    let before = known_by(management, &cluster, &token).await?;
    let keys = secrets(management, NAME).await?;
    let taken_over = async {
        tenant.annotate(&format!("{PAUSED}-")).await?;
        tenant.wait_ready().await
    };
    let (_, took) = timed(taken_over).await?;

    expect_kept(&keys, &secrets(management, NAME).await?, &RENEWED)?;
    let after = known_by(management, &cluster, &token).await?;
    expect_same("what it is known by after the take-over", &before, &after)?;
    expect_same(
        "what was stored before",
        &json!(kept),
        &stored(&cluster).await?,
    )?;
    nothing_of_kamaji(management).await?;
    wait_agents_ready(&cluster).await?;
    replica::wait_all_reach(lab, &tenant, &cluster, WORKER).await?;
    tokio::try_join!(tenant.delete(), lab.remove_worker(WORKER))?;
    Ok(format!(
        "ours after {:.1} s: of {} keys all but the tunnel's, Service, Deployment, data and node are the same, the node was ready all the time",
        took.as_secs_f64(),
        keys.len(),
    ))
}

/// Makes all that Kamaji leaves, in the order in which Kamaji makes it, and waits until it serves.
async fn start(lab: &Lab, tenant: &Tenant) -> Result<Cluster> {
    let management = lab.management();
    management
        .create(&tenant_control_plane(NAME), MANAGER)
        .await?;
    let uid = tenant.object().await?;
    let uid = text(&uid, "/metadata/uid");
    management
        .create(&objects::service(NAME, &uid), MANAGER)
        .await?;
    let ingress = "/status/loadBalancer/ingress/0/ip";
    let service = ["-n", "default", "service", NAME];
    let service = management.wait_for(&service, Duration::from_secs(30), |object| {
        object
            .pointer(ingress)
            .is_none()
            .then(|| "no address".into())
    });
    let former = Former {
        name: NAME.into(),
        uid,
        address: text(&service.await?, ingress),
        store: store::endpoint(lab).await?,
        tunnel_image: product::name(product::KONNECTIVITY),
    };
    store::make_place(lab, &former.schema()).await?;
    let folder = lab.place().state().join("kamaji");
    crate::place::remove_directory(&folder)?;
    let [certificate, key] = store::authority(lab).await?;
    let authority = Authority {
        certificate: &certificate,
        key: &key,
    };
    let kubeadm = management.program("kubeadm");
    let contents = certificates::make(&kubeadm, &former, authority, &folder).await?;
    for object in objects::objects(&former, &contents) {
        management.create(&object, MANAGER).await?;
    }
    until_served(management, &status(&former, &contents)).await?;
    let cluster = access(lab, folder.join("super-admin.conf"));
    inside::furnish(&cluster, &former, &folder).await?;
    Ok(cluster)
}

/// Waits until it serves, and writes the status of one that does.
async fn until_served(management: &Cluster, status: &Value) -> Result<()> {
    let deployment = ["-n", "default", "deployment", NAME];
    let available = management.wait_for(&deployment, Duration::from_mins(2), |object| {
        let available = object.pointer("/status/availableReplicas");
        available
            .is_none()
            .then(|| text(object, "/status/conditions/0/message"))
    });
    available.await?;
    let status = status.to_string();
    let patch = [
        "-n",
        "default",
        "patch",
        "tenantcontrolplane",
        NAME,
        "--subresource=status",
    ];
    let patch = management
        .kubectl(patch)
        .args(["--type=merge", "-p", &status]);
    patch.run().await.map(drop)
}

/// With the kubeconfig that was made before, to the end.
fn access(lab: &Lab, kubeconfig: PathBuf) -> Cluster {
    Cluster::new(kubeconfig, lab.programs().clone())
}

fn text(object: &Value, pointer: &str) -> String {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// A token of a service account.
async fn token(tenant: &Cluster) -> Result<String> {
    let made = until("a token is made", Duration::from_secs(30), async || {
        tenant
            .kubectl(["create", "token", "default"])
            .run()
            .await
            .map(Seen::Yes)
    });
    made.await.map(|token| token.trim().to_owned())
}

/// What nobody may notice a change of.
async fn known_by(management: &Cluster, tenant: &Cluster, token: &str) -> Result<Value> {
    let service = management.get(&["-n", "default", "service", NAME]).await?;
    let deployment = management
        .get(&["-n", "default", "deployment", NAME])
        .await?;
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token },
    });
    let review = tenant
        .kubectl(["create", "-o", "json", "-f", "-"])
        .input(review.to_string());
    let review: Value = serde_json::from_str(&review.run().await?)?;
    Ok(json!({
        "service": {
            "uid": service.pointer("/metadata/uid"),
            "clusterIP": service.pointer("/spec/clusterIP"),
            "ingress": service.pointer("/status/loadBalancer/ingress"),
        },
        "deployment": {
            "uid": deployment.pointer("/metadata/uid"),
            "selector": deployment.pointer("/spec/selector"),
        },
        "node": node(tenant, WORKER).await?,
        "token": review.pointer("/status/user/username"),
    }))
}

async fn stored(tenant: &Cluster) -> Result<Value> {
    let kept = tenant.get(&["configmap", "kept"]).await?;
    Ok(kept.pointer("/data/value").cloned().unwrap_or_default())
}

/// The Deployment has nothing left that only Kamaji set, and nobody but us states what it is.
async fn nothing_of_kamaji(management: &Cluster) -> Result<()> {
    let deployment = ["-n", "default", "deployment", NAME, "--show-managed-fields"];
    let deployment = management.get(&deployment).await?;
    let template = deployment
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let labels = template
        .pointer("/metadata/labels")
        .cloned()
        .unwrap_or_default();
    let managers = deployment
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    let managers: Vec<_> = managers
        .into_iter()
        .flatten()
        .map(|entry| text(entry, "/manager"))
        .collect();
    let left: Vec<_> = [
        (labels.to_string(), "component.kamaji.clastix.io/"),
        (template.to_string(), "--server-count"),
        (template.to_string(), "usr-share-ca-certificates"),
        (template.to_string(), "subPath"),
    ]
    .into_iter()
    .filter_map(|(whole, part)| whole.contains(part).then_some(part))
    .chain(
        managers
            .iter()
            .map(String::as_str)
            .filter(|manager| *manager == MANAGER),
    )
    .collect();
    if left.is_empty() && managers.iter().any(|manager| manager == "warren") {
        return Ok(());
    }
    Err(Error::Unexpected {
        what: format!("what Kamaji set in Deployment {NAME}, managed by {managers:?}"),
        expected: "none, and managed by warren".into(),
        found: format!("{left:?}"),
    })
}
