//! TLS in front of admission: in, a certificate that may change while we serve; out, the pages of [`crate::admission`].
//!
//! Every replica serves, leader or not. A handshake runs in the connection's own task with a deadline, so one client
//! that says nothing holds up nobody.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::pki::KeyPair;

pub mod certificate;

/// Connections at once; kube-apiserver keeps a few.
const MAX_CONNECTIONS: usize = 256;
/// A client has this long for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a certificate cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It does not read.
    #[error("the certificate or its key is not PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// It does not fit.
    #[error("the certificate cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// The certificate that is served now.
#[derive(Clone, Debug, Default)]
pub struct Current(Arc<ArcSwapOption<ServerConfig>>);

impl Current {
    /// From the next handshake on, this one is served.
    pub fn set(&self, pair: &KeyPair) -> Result<(), CertificateError> {
        let chain = CertificateDer::pem_slice_iter(pair.certificate().as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(CertificateError::Pem)?;
        let key =
            PrivateKeyDer::from_pem_slice(pair.key().as_bytes()).map_err(CertificateError::Pem)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(CertificateError::Unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.0.store(Some(Arc::new(config)));
        Ok(())
    }
}

/// Serves `pages` for ever.
pub async fn serve(listener: TcpListener, current: Current, pages: Router) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => drop(connections.spawn(exchange(socket, current.clone(), pages.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn exchange(socket: TcpStream, current: Current, pages: Router) {
    let Some(config) = current.0.load_full() else {
        tracing::debug!("no certificate yet: connection closed");
        return;
    };
    let handshake = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(socket));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_elapsed) => return tracing::debug!("handshake took too long"),
    };
    let service = TowerToHyperService::new(pages);
    let served = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "webhook connection ended");
    }
}

#[cfg(test)]
mod tests;
