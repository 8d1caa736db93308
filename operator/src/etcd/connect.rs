//! Finds a member that answers: in endpoints and certificates, out an open gRPC channel over TLS.
//!
//! Every endpoint is tried in the order given, each with its own deadline; a member counts only when
//! it answered a call, because TLS 1.3 lets a refused client certificate look like a connection.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::error::Error;
use super::rpc::auth_client::AuthClient;
use super::rpc::kv_client::KvClient;
use super::rpc::maintenance_client::MaintenanceClient;
use super::rpc::{AuthStatusRequest, StatusRequest};

/// One endpoint has this long to answer before the next is tried.
const DEADLINE: Duration = Duration::from_secs(3);
/// No single call takes longer.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// How the operator proves itself to etcd and knows it, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsMaterial {
    /// The authority (or several) that signs etcd's server certificates.
    pub authority: Vec<u8>,
    /// The operator's client certificate, with what links it to its authority.
    pub certificate: Vec<u8>,
    /// The key of that certificate.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

/// What a member says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Who answered.
    pub endpoint: String,
    /// Its version.
    pub version: String,
    /// Whether users and roles are enforced. When not, they are set up all the same, so that
    /// `etcdctl auth enable` confines every tenant at once; until then any client certificate of
    /// the authority reads everything.
    pub auth_enabled: bool,
    /// Alarms that etcd reports about itself (no space left, corruption).
    pub alarms: Vec<String>,
}

/// An open connection to one member.
#[derive(Clone, Debug)]
pub struct Etcd {
    endpoint: String,
    pub(super) keys: KvClient<Channel>,
    pub(super) auth: AuthClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
}

impl Etcd {
    /// Connects to the first endpoint that answers.
    pub async fn connect(endpoints: &[String], tls: &TlsMaterial) -> Result<Self, Error> {
        let config = Arc::new(client_config(tls)?);
        let mut tried = Vec::new();
        for endpoint in endpoints {
            let attempt = tokio::time::timeout(DEADLINE, Self::open(endpoint, Arc::clone(&config)));
            match attempt.await {
                Ok(Ok(etcd)) => return Ok(etcd),
                Ok(Err(error)) => tried.push((endpoint.clone(), error)),
                Err(_elapsed) => tried.push((
                    endpoint.clone(),
                    Error::Timeout {
                        seconds: DEADLINE.as_secs(),
                    },
                )),
            }
        }
        Err(Error::NoEndpoint { tried })
    }

    async fn open(endpoint: &str, config: Arc<ClientConfig>) -> Result<Self, Error> {
        let uri = parse(endpoint)?;
        let channel = Endpoint::from(uri)
            .timeout(CALL_DEADLINE)
            .connect_with_connector(tower::service_fn(move |uri| dial(uri, Arc::clone(&config))))
            .await
            .map_err(|source| Error::Dial(Box::new(source)))?;
        let etcd = Self {
            endpoint: endpoint.to_owned(),
            keys: KvClient::new(channel.clone()),
            auth: AuthClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel),
        };
        match etcd.status().await {
            Ok(_status) => Ok(etcd),
            // Newer members tell root alone. One that judges the user has answered; what the user
            // may do, each call says for itself.
            Err(Error::Call { source, .. }) if judges_the_user(source.code()) => Ok(etcd),
            // In TLS 1.3 the handshake is over for us before the server has judged our certificate.
            Err(Error::Call { source, .. }) if hung_up(&source) => Err(Error::HungUp(source)),
            Err(error) => Err(error),
        }
    }

    async fn status(&self) -> Result<super::rpc::StatusResponse, Error> {
        let answer = self.maintenance.clone().status(StatusRequest {}).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| Error::Call {
                doing: "tell its status",
                source: Box::new(status),
            })
    }

    /// Asks the member how it is, and whether the operator may administer users there.
    pub async fn health(&self) -> Result<Health, Error> {
        let status = self.status().await?;
        let auth = self
            .auth
            .clone()
            .auth_status(AuthStatusRequest {})
            .await
            .map_err(|status| Error::Call {
                doing: "let the operator see whether users are enforced",
                source: Box::new(status),
            })?;
        Ok(Health {
            endpoint: self.endpoint.clone(),
            version: status.version,
            auth_enabled: auth.into_inner().enabled,
            alarms: status.errors,
        })
    }
}

/// etcd's codes for a user without the permission, and for one that it does not know.
fn judges_the_user(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::FailedPrecondition)
}

/// Whether the connection broke under a first call: cancelled, or, when our bytes met a closed socket, an unknown error
/// with a cause on our side. What a server answers has no such cause.
fn hung_up(status: &tonic::Status) -> bool {
    let is_local = std::error::Error::source(status).is_some();
    status.code() == Code::Cancelled || (status.code() == Code::Unknown && is_local)
}

/// `host:port`, or the same with `https://` before it.
fn parse(endpoint: &str) -> Result<Uri, Error> {
    let invalid = |why: &str| Error::Invalid {
        what: format!("endpoint {endpoint:?}"),
        why: why.to_owned(),
    };
    if endpoint.starts_with("http://") {
        return Err(invalid("etcd is spoken to over TLS only; write host:port"));
    }
    let authority = endpoint
        .trim_start_matches("https://")
        .trim_end_matches('/');
    let uri: Uri = format!("https://{authority}")
        .parse()
        .map_err(|error| invalid(&format!("{error}")))?;
    if uri.port_u16().is_none() {
        return Err(invalid("a port is missing; write host:port"));
    }
    Ok(uri)
}

fn client_config(tls: &TlsMaterial) -> Result<ClientConfig, Error> {
    let invalid = |what: &str, why: &dyn std::fmt::Display| Error::Invalid {
        what: format!("spec.tlsConfig.{what} of the DataStore"),
        why: why.to_string(),
    };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&tls.authority) {
        let authority =
            authority.map_err(|error| invalid("certificateAuthority.certificate", &error))?;
        roots
            .add(authority)
            .map_err(|error| invalid("certificateAuthority.certificate", &error))?;
    }
    if roots.is_empty() {
        return Err(invalid(
            "certificateAuthority.certificate",
            &"it holds no PEM certificate",
        ));
    }
    let certificates = CertificateDer::pem_slice_iter(&tls.certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid("clientCertificate.certificate", &error))?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key)
        .map_err(|error| invalid("clientCertificate.privateKey", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("clientCertificate", &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates, key)
        .map_err(|error| invalid("clientCertificate", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn dial(
    uri: Uri,
    config: Arc<ClientConfig>,
) -> Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>, std::io::Error> {
    let host = uri
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(2379))).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map(TokioIo::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for good in [
            "etcd-0.etcd.svc:2379",
            "https://10.0.0.1:2379",
            "[fd00::1]:2379",
            "https://a:1/",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("etcd", "port"),
            ("http://etcd:2379", "TLS"),
            ("a b:1", "invalid"),
        ] {
            let text = parse(bad).unwrap_err().to_string();
            assert!(text.contains(why), "{bad}: {text}");
        }
    }

    #[test]
    fn a_broken_certificate_names_the_field() {
        let tls = TlsMaterial {
            authority: b"x".to_vec(),
            certificate: vec![],
            key: vec![],
        };
        let text = client_config(&tls).unwrap_err().to_string();
        assert!(
            text.contains("spec.tlsConfig.certificateAuthority.certificate"),
            "{text}"
        );
    }
}
