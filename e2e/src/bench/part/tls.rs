//! TLS of the relay: certificates on both sides, as the tunnel has them, and the same crypto provider.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::bench::certificates::{self, AGENT, SERVER};
use crate::error::{Error, Result};

/// For the process that is dialled.
pub fn acceptor(folder: &Path) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(folder)?, provider.clone());
    let verifier = verifier.build().map_err(unusable)?;
    let (chain, key) = identity(folder, SERVER)?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// For the process that dials; every dial is a whole handshake.
pub fn connector(folder: &Path) -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = identity(folder, AGENT)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots(folder)?)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)?;
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(folder: &Path) -> Result<Arc<RootCertStore>> {
    let ca = CertificateDer::from_pem_file(certificates::ca(folder)).map_err(unusable)?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(unusable)?;
    Ok(Arc::new(roots))
}

fn identity(
    folder: &Path,
    name: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let (cert, key) = certificates::leaf(folder, name);
    let chain = CertificateDer::from_pem_file(cert).map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unusable)?;
    Ok((vec![chain], key))
}

/// We made them ourselves; there is nothing to do about it but to say so.
fn unusable(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::file("use", "the relay's certificates")(std::io::Error::other(source))
}
