//! Accepts TLS with what the files hold now, not with what they held at start.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::{BUFFER, Files, Policy, TlsError, server_config};

/// How often the files are looked at again, at most, and only when somebody connects.
pub const RECHECK: Duration = Duration::from_secs(10);

/// The TLS side of a listener. Clones share what is served.
#[derive(Debug, Clone)]
pub struct Acceptor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    policy: Policy,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// Which state of the files `current` was made of, and when that was last compared.
#[derive(Debug)]
struct Seen {
    marks: Vec<Option<(SystemTime, u64)>>,
    at: Instant,
}

impl Acceptor {
    /// Serves with a certificate and its key; with `client_ca`, only clients whose certificate comes from it.
    pub fn new(
        cert: &Path,
        key: &Path,
        client_ca: Option<&Path>,
        alpn: &[&[u8]],
    ) -> Result<Self, TlsError> {
        let files = Files {
            cert: cert.to_owned(),
            key: key.to_owned(),
            client_ca: client_ca.map(Path::to_owned),
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        };
        Self::with_policy(files, Policy::default())
    }

    /// The same acceptor, restricted to some cipher suites and versions.
    pub fn restricted(&self, policy: Policy) -> Result<Self, TlsError> {
        Self::with_policy(self.0.files.clone(), policy)
    }

    fn with_policy(files: Files, policy: Policy) -> Result<Self, TlsError> {
        // Marked before they are read: a change in between is found at the next look.
        let seen = Seen {
            marks: marks(&files),
            at: Instant::now(),
        };
        let config = server_config(&files, &policy)?;
        Ok(Self(Arc::new(Inner {
            files,
            policy,
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(seen),
        })))
    }

    /// One handshake. The configuration is chosen after the client's hello has come.
    ///
    /// The caller sets the deadline.
    pub async fn accept<S>(&self, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        self.0.look_again();
        let mut stream = hello.into_stream(self.0.current.load_full()).await?;
        stream.get_mut().1.set_buffer_limit(Some(BUFFER));
        Ok(stream)
    }
}

impl Inner {
    /// Swaps the configuration when the files changed. Files that do not fit together keep the old one in service.
    fn look_again(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < RECHECK {
            return;
        }
        seen.at = Instant::now();
        let marks = marks(&self.files);
        if marks == seen.marks {
            return;
        }
        match server_config(&self.files, &self.policy) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                seen.marks = marks;
                tracing::info!(cert = %self.files.cert.display(), "certificate renewed from its files");
            }
            Err(error) => tracing::warn!(
                %error,
                cause = std::error::Error::source(&error).map(ToString::to_string),
                "changed certificate files cannot be used; the old certificate stays in service"
            ),
        }
    }
}

/// What tells one state of the files from another; a mounted Secret swaps a link, so the target's data counts.
fn marks(files: &Files) -> Vec<Option<(SystemTime, u64)>> {
    [
        Some(&files.cert),
        Some(&files.key),
        files.client_ca.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|path| {
        let data = std::fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    })
    .collect()
}
