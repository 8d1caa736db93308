//! TLS for both programs: configurations from PEM files, one crypto provider, certificates that are renewed on disk.
//!
//! In: paths as the flags name them. Out: an [`Acceptor`] for servers, a [`ClientConfig`] for agents. A client's
//! configuration is made anew for each connection; a server's is looked at again every [`RECHECK`], and swapped whole
//! when its files changed, so certificate, key and client CAs are never mixed. Connections that stand are not touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};

mod acceptor;
mod policy;
#[cfg(test)]
mod tests;

pub use acceptor::{Acceptor, RECHECK};
pub use policy::Policy;

/// What rustls may hold unsent: enough for one large HTTP/2 frame with its header, so that it leaves
/// in one write.
pub const BUFFER: usize = 256 * 1024;

/// A configuration that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, unreadable or not PEM.
    #[error("cannot read a PEM {what} from {path}", path = path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What went wrong.
        source: pem::Error,
    },
    /// A CA file without a certificate.
    #[error("{path} holds no certificate; name a PEM file with at least one CERTIFICATE block", path = .0.display())]
    NoCertificate(PathBuf),
    /// What was read does not fit together, such as a key of another certificate.
    #[error("certificate {cert} and key {key} cannot be used", cert = cert.display(), key = key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A CA that cannot be trusted.
    #[error("{path} cannot serve as CA", path = path.display())]
    Authority {
        /// The CA's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A CA bundle no verifier can be made of.
    #[error("no verifier of client certificates can be made of {path}", path = path.display())]
    Verifier {
        /// The CA's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::server::VerifierBuilderError,
    },
    /// Cipher suites and versions that leave nothing.
    #[error("the chosen cipher suites and TLS versions leave nothing to talk")]
    Policy(#[source] rustls::Error),
}

/// The one crypto provider of both programs.
pub fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// A client that trusts nobody but the CAs of a file, with a certificate of its own or without.
pub fn client_config(
    ca: &Path,
    identity: Option<&(PathBuf, PathBuf)>,
    alpn: &[String],
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), provider.clone())
            .build()
            .map_err(|source| TlsError::Verifier {
                path: ca.to_owned(),
                source,
            })?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Policy)?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(chain(cert)?, private_key(key)?)
            .map_err(|source| pair_error(cert, key, source))?,
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A server's configuration; with `client_ca` it demands a client certificate of one of those CAs.
fn server_config(files: &Files, policy: &Policy) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(policy.restrict(provider()));
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(policy.versions())
        .map_err(TlsError::Policy)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider)
                    .build()
                    .map_err(|source| TlsError::Verifier {
                        path: ca.clone(),
                        source,
                    })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain(&files.cert)?, private_key(&files.key)?)
        .map_err(|source| pair_error(&files.cert, &files.key, source))?;
    config.alpn_protocols.clone_from(&files.alpn);
    Ok(config)
}

/// What an [`Acceptor`] serves with.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    alpn: Vec<Vec<u8>>,
}

fn pair_error(cert: &Path, key: &Path, source: rustls::Error) -> TlsError {
    TlsError::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    }
}

fn file_error(what: &'static str, path: &Path) -> impl Fn(pem::Error) -> TlsError {
    move |source| TlsError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = file_error("certificate", path);
    let read = CertificateDer::pem_file_iter(path).map_err(&error)?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(&error)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

/// PKCS#8, PKCS#1 and SEC1 are all told apart by their PEM label.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(file_error("private key", path))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}
