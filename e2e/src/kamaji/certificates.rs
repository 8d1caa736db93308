//! Keys, certificates and kubeconfigs, made by kubeadm as Kamaji has them made.
//!
//! In: kubeadm, whose control plane it is, the authority of its store, an empty folder. Out: the data of its Secrets.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Contents, Former, NAMESPACE, PODS, PORT, SERVICES};
use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::place::{create_directory, read, write};
use crate::programs::KUBERNETES;

/// How long Kamaji's own certificates live.
const TEN_YEARS: &str = "--validity-period=87600h";

/// The certificate of an authority, and its key.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'a> {
    /// PEM.
    pub certificate: &'a str,
    /// PEM.
    pub key: &'a str,
}

/// Makes everything that is secret.
pub async fn make(
    kubeadm: &Invocation,
    former: &Former,
    store: Authority<'_>,
    folder: &Path,
) -> Result<Contents> {
    let (pki, foreign) = (folder.join("pki"), folder.join("store"));
    create_directory(&pki)?;
    write(&foreign.join("ca.crt"), store.certificate)?;
    write(&foreign.join("ca.key"), store.key)?;
    let own = configure(folder, "own", former, (&pki, &former.name))?;
    let tunnel = configure(folder, "tunnel", former, (&pki, "kubernetes"))?;
    let user = configure(folder, "user", former, (&foreign, &former.name))?;
    let phase = |phase: &'static str| kubeadm.clone().args(["init", "phase", phase, "all", &own]);
    phase("certs").run().await?;
    let kubeconfigs = format!("--kubeconfig-dir={}", folder.display());
    phase("kubeconfig").args([kubeconfigs]).run().await?;
    let tunnel = identity(kubeadm, &tunnel, "system:konnectivity-server").await?;
    let user = identity(kubeadm, &user, &former.schema()).await?;

    let mut contents = files(&pki)?;
    contents.extend(kubeconfigs_in(folder, former)?);
    contents.extend([
        (
            "konnectivity-certificate",
            BTreeMap::from([
                ("tls.crt", decoded(&tunnel, "client-certificate-data")?),
                ("tls.key", decoded(&tunnel, "client-key-data")?),
            ]),
        ),
        (
            "konnectivity-kubeconfig",
            BTreeMap::from([("konnectivity-server.conf", at(&tunnel, former, "localhost"))]),
        ),
        (
            "datastore-certificate",
            BTreeMap::from([
                ("ca.crt", store.certificate.to_owned()),
                ("server.crt", decoded(&user, "client-certificate-data")?),
                ("server.key", decoded(&user, "client-key-data")?),
            ]),
        ),
        (
            "datastore-config",
            BTreeMap::from([
                ("DB_CONNECTION_STRING", former.store.clone()),
                ("DB_PASSWORD", uuid::Uuid::new_v4().to_string()),
                ("DB_SCHEMA", former.schema()),
                ("DB_USER", former.schema()),
            ]),
        ),
    ]);
    Ok(contents)
}

/// kubeadm's configuration of this control plane, to be given to its phases as a flag.
pub fn configure(
    folder: &Path,
    name: &str,
    former: &Former,
    (certificates, cluster): (&Path, &str),
) -> Result<String> {
    let Former {
        name: tenant,
        address,
        ..
    } = former;
    let init = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": { "advertiseAddress": address, "bindPort": PORT },
        "nodeRegistration": { "name": "node", "criSocket": "unix:///run/containerd/containerd.sock" },
    });
    let service = format!("{tenant}.{NAMESPACE}.svc");
    let cluster = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": cluster,
        "controlPlaneEndpoint": format!("{address}:{PORT}"),
        "kubernetesVersion": KUBERNETES,
        "certificatesDir": certificates,
        "networking": { "serviceSubnet": SERVICES, "podSubnet": PODS, "dnsDomain": "cluster.local" },
        "apiServer": { "certSANs": [
            "127.0.0.1", "localhost", tenant, service, format!("{service}.cluster.local"), address,
        ] },
        "etcd": { "external": {
            "endpoints": [format!("https://{}", former.store)],
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/etcd/server.crt",
            "keyFile": "/etc/kubernetes/pki/etcd/server.key",
        } },
    });
    let file = folder.join(format!("{name}.yaml"));
    write(&file, format!("{init}\n---\n{cluster}\n"))?;
    Ok(format!("--config={}", file.display()))
}

/// A kubeconfig of somebody who is above all rules, as Kamaji has the tunnel and the store's user.
async fn identity(kubeadm: &Invocation, configuration: &str, name: &str) -> Result<String> {
    let user = [
        "kubeconfig",
        "user",
        "--org=system:masters",
        TEN_YEARS,
        configuration,
    ];
    let name = format!("--client-name={name}");
    kubeadm.clone().args(user).args([name]).run().await
}

/// The Secrets that hold files of kubeadm as they are.
fn files(pki: &Path) -> Result<Contents> {
    let mut contents = Contents::new();
    for (secret, names) in [
        ("ca", ["ca.crt", "ca.key"]),
        (
            "front-proxy-ca-certificate",
            ["front-proxy-ca.crt", "front-proxy-ca.key"],
        ),
        ("sa-certificate", ["sa.pub", "sa.key"]),
        ("api-server-certificate", ["apiserver.crt", "apiserver.key"]),
        (
            "api-server-kubelet-client-certificate",
            [
                "apiserver-kubelet-client.crt",
                "apiserver-kubelet-client.key",
            ],
        ),
        (
            "front-proxy-client-certificate",
            ["front-proxy-client.crt", "front-proxy-client.key"],
        ),
    ] {
        let mut data = BTreeMap::new();
        for name in names {
            data.insert(name, read(&pki.join(name))?);
        }
        contents.insert(secret, data);
    }
    // The Cluster API provider reads the second spelling.
    if let Some(data) = contents.get_mut("ca") {
        data.insert("tls.crt", read(&pki.join("ca.crt"))?);
        data.insert("tls.key", read(&pki.join("ca.key"))?);
    }
    Ok(contents)
}

fn kubeconfigs_in(folder: &Path, former: &Former) -> Result<Contents> {
    let file = |name: &str| read(&folder.join(name));
    let service = format!("{}.{NAMESPACE}.svc", former.name);
    let (admin, super_admin) = (file("admin.conf")?, file("super-admin.conf")?);
    let of_component = |name: &str| Ok::<_, Error>(at(&file(name)?, former, "127.0.0.1"));
    let administrators = BTreeMap::from([
        ("admin.svc", at(&admin, former, &service)),
        ("super-admin.svc", at(&super_admin, former, &service)),
        ("admin.conf", admin),
        ("super-admin.conf", super_admin),
    ]);
    Ok(Contents::from([
        ("admin-kubeconfig", administrators),
        (
            "controller-manager-kubeconfig",
            BTreeMap::from([(
                "controller-manager.conf",
                of_component("controller-manager.conf")?,
            )]),
        ),
        (
            "scheduler-kubeconfig",
            BTreeMap::from([("scheduler.conf", of_component("scheduler.conf")?)]),
        ),
    ]))
}

/// The same kubeconfig for another host.
fn at(kubeconfig: &str, former: &Former, host: &str) -> String {
    kubeconfig.replace(&former.server(), &format!("https://{host}:{PORT}"))
}

/// A field of a kubeconfig: kubeadm writes each on a line of its own.
fn decoded(kubeconfig: &str, field: &str) -> Result<String> {
    let line = kubeconfig.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(field)?;
        rest.strip_prefix(": ")
    });
    let bytes = line.and_then(|text| STANDARD.decode(text).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Error::Missing {
            what: format!("{field} in kubeadm's kubeconfig"),
            remedy: "see what `kubeadm kubeconfig user` prints".into(),
        })
}
