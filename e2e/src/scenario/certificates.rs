//! Certificates renewed when the annotation asks, and served by processes that run on.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::demo::{Demo, rows};
use crate::error::{Error, Result};
use crate::scenario::agents::tunnel_works;
use crate::wait::{Seen, timed, until};

const ROTATE: &str = "certs.kamaji.clastix.io/rotate";

/// The annotation on a Secret has its certificate made anew, and the running control plane serves it: the same pods,
/// to clients that trust the same authority.
pub(super) async fn renewed(demo: &Demo) -> Result<String> {
    let name = format!("{}-api-server-certificate", demo.tenant.name());
    let secret = ["-n", "default", "secret", &name];
    let management = demo.lab.management();
    let pair = |object: &Value| object.pointer("/data/apiserver.crt").cloned();
    let before = pair(&management.get(&secret).await?);
    let pods = demo.tenant.pods().await?;
    let ask = ["-n", "default", "annotate", "--overwrite", "secret", &name];
    let asked = format!("{ROTATE}=");
    management.kubectl(ask).args([&asked]).run().await?;
    let renewed = management.wait_for(&secret, Duration::from_mins(1), |object| {
        let answer = object
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(ROTATE))
            .and_then(Value::as_str);
        (pair(object) == before || answer.is_none_or(str::is_empty))
            .then(|| format!("annotation {answer:?}"))
    });
    renewed.await?;
    let ((), took) = timed(until_served(demo, &name)).await?;
    let still = demo.tenant.pods().await?;
    if pods != still {
        return Err(Error::Unexpected {
            what: "the pods that serve the new certificate".into(),
            expected: format!("still {pods:?}"),
            found: format!("{still:?}"),
        });
    }
    demo.tenant.wait_ready().await?;
    demo.cluster.kubectl(["get", "nodes"]).run().await?;
    tunnel_works(demo).await?;
    Ok(format!(
        "another certificate, served by the same pods {:.1} s later; the tunnel works",
        took.as_secs_f64()
    ))
}

/// Waits until a handshake with the tenant shows the certificate of the Secret.
async fn until_served(demo: &Demo, secret: &str) -> Result<()> {
    let management = demo.lab.management();
    let tenant = demo.tenant.name();
    let authority = format!("{tenant}-ca");
    let authority = management.secret("default", &authority, "ca.crt").await?;
    let renewed = management
        .secret("default", secret, "apiserver.crt")
        .await?;
    let renewed = der(&renewed)?;
    let object = demo.tenant.object().await?;
    let endpoint = object.pointer("/status/controlPlaneEndpoint");
    let endpoint = endpoint.and_then(Value::as_str).unwrap_or_default();
    // A kubelet looks after a pod's files once a minute, and at once when the pod changes.
    let label = format!("kamaji.clastix.io/name={tenant}");
    let change = format!("warren-lab={}", rows::random());
    let look = [
        "-n",
        "default",
        "annotate",
        "--overwrite",
        "pods",
        "-l",
        &label,
        &change,
    ];
    management.kubectl(look).run().await?;
    until(
        "kube-apiserver serves the new certificate",
        Duration::from_mins(2),
        async || {
            let served = served(endpoint, &authority).await?;
            Ok(if served == renewed {
                Seen::Yes(())
            } else {
                Seen::NotYet("it serves another one".into())
            })
        },
    )
    .await
}

/// The certificate that the tenant shows to a client who trusts its authority alone.
async fn served(endpoint: &str, authority: &str) -> Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(der(authority)?).map_err(unusable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("kubernetes").map_err(unusable)?;
    let failed = || Error::file("shake hands with", endpoint);
    let stream = TcpStream::connect(endpoint).await.map_err(failed())?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(failed())?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default();
    let shown = chain.first().cloned().map(CertificateDer::into_owned);
    shown.ok_or_else(|| unusable("no certificate was shown"))
}

fn der(pem: &str) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(unusable)
}

fn unusable(error: impl Into<Box<dyn std::error::Error>>) -> Error {
    Error::Unexpected {
        what: "the tenant's certificate".into(),
        expected: "one that can be used".into(),
        found: error.into().to_string(),
    }
}
