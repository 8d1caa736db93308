//! The client of one tenant. In: its address and credentials. Out: a client on which everything shares one connection.
//!
//! HTTP/2, so that lists, watches and probes cost the tenant and us one connection however many kinds are watched;
//! HTTP/1.1 where its API server was told not to speak that. The kernel asks a connection on which nothing happens
//! whether anybody is there, and gives one up whose bytes nobody acknowledges: a firewall that forgot it says nothing.

use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use rustls_pki_types::{InvalidDnsNameError, ServerName};
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};

/// How long a connection may take to come about, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// After so much quiet the other end is asked whether it is there.
const QUIET: Duration = Duration::from_secs(15);
/// From one such question to the next.
const QUESTION: Duration = Duration::from_secs(5);
/// As many questions without an answer end the connection.
const QUESTIONS: u32 = 3;
/// Bytes that nobody acknowledges for so long end the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name that the certificate has to carry is none.
    #[error("`{name}` is no host name")]
    ServerName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: InvalidDnsNameError,
    },
    /// The credentials do not make a client.
    #[error("the tenant's credentials cannot be used")]
    Credentials(#[from] Box<kube::Error>),
}

/// Makes the client. Nothing is dialled yet.
pub fn client(config: Config) -> Result<Client, DialError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(QUIET));
    tcp.set_keepalive_interval(Some(QUESTION));
    tcp.set_keepalive_retries(Some(QUESTIONS));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let tls = config.rustls_client_config().map_err(Box::new)?;
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|source| DialError::ServerName {
            name: name.clone(),
            source,
        })?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let connector = ServiceBuilder::new()
        .map_future(Box::pin)
        .layer(TimeoutLayer::new(CONNECT))
        .service(builder.enable_all_versions().wrap_connector(tcp));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .option_layer(config.auth_layer().map_err(Box::new)?)
        .layer(config.extra_headers_layer().map_err(Box::new)?)
        .map_err(BoxError::from)
        .service(HttpClient::builder(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
