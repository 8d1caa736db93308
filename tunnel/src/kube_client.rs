//! The way to a Kubernetes API server, for token reviews and Leases.
//!
//! In comes the path of a kubeconfig, or none for the pod's own service account. The client is made
//! when it is first needed and again when the file changed, so rotated credentials need no restart.
//! Ask for it on the control runtime only: its background task lives where it was made.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::sync::Mutex;

/// To open a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the API server to answer anything at all; no call of ours may hang longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// The kubeconfig cannot be used.
    #[error("--kubeconfig={path}: cannot be used", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// There is no service account to use.
    #[error("no --kubeconfig given and no service account of a pod found")]
    InCluster(#[source] kube::config::InClusterError),
    /// The credentials cannot be used.
    #[error("cannot make a client of the configuration")]
    Client(#[source] Box<kube::Error>),
    /// The file cannot be looked at.
    #[error("--kubeconfig={path}: cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes clients and keeps the current one.
#[derive(Debug)]
pub struct KubeClient {
    kubeconfig: Option<PathBuf>,
    current: Mutex<Option<Made>>,
}

struct Made {
    client: Client,
    of: Option<Stamp>,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made")
            .field("of", &self.of)
            .finish_non_exhaustive()
    }
}

/// What changes when a file is replaced.
type Stamp = (u64, u64, u64, SystemTime);

impl KubeClient {
    /// Of a kubeconfig, or of the pod's service account when there is none. Reads nothing yet.
    pub fn new(kubeconfig: Option<PathBuf>) -> Self {
        Self {
            kubeconfig,
            current: Mutex::new(None),
        }
    }

    /// The client of the file as it stands now.
    pub async fn client(&self) -> Result<Client, KubeError> {
        let now = match &self.kubeconfig {
            Some(path) => Some(stamp(path).await?),
            None => None,
        };
        let mut current = self.current.lock().await;
        if let Some(made) = current.as_ref().filter(|made| made.of == now) {
            return Ok(made.client.clone());
        }
        let client = Client::try_from(self.config().await?)
            .map_err(|source| KubeError::Client(Box::new(source)))?;
        *current = Some(Made {
            client: client.clone(),
            of: now,
        });
        drop(current);
        Ok(client)
    }

    async fn config(&self) -> Result<Config, KubeError> {
        let mut config = match &self.kubeconfig {
            Some(path) => from_file(path)
                .await
                .map_err(|source| KubeError::Kubeconfig {
                    path: path.clone(),
                    source: Box::new(source),
                })?,
            None => Config::incluster().map_err(KubeError::InCluster)?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(ANSWER_TIMEOUT);
        config.write_timeout = Some(ANSWER_TIMEOUT);
        Ok(config)
    }
}

async fn from_file(path: &Path) -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}

async fn stamp(path: &Path) -> Result<Stamp, KubeError> {
    let read = |source| KubeError::Read {
        path: path.to_owned(),
        source,
    };
    let metadata = tokio::fs::metadata(path).await.map_err(read)?;
    let modified = metadata.modified().map_err(read)?;
    Ok((metadata.dev(), metadata.ino(), metadata.len(), modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(port: u16) -> String {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {"token": "x"}}],
        })
        .to_string()
    }

    #[tokio::test]
    async fn a_replaced_kubeconfig_makes_a_new_client() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(1)).unwrap();
        let source = KubeClient::new(Some(path.clone()));
        source.client().await.unwrap();
        let first = source.current.lock().await.as_ref().unwrap().of;
        source.client().await.unwrap();
        assert_eq!(source.current.lock().await.as_ref().unwrap().of, first);
        std::fs::write(&path, kubeconfig(65_000)).unwrap();
        source.client().await.unwrap();
        assert_ne!(source.current.lock().await.as_ref().unwrap().of, first);
    }

    #[tokio::test]
    async fn a_file_that_is_missing_or_nonsense_is_named() {
        let source = KubeClient::new(Some("/nonexistent/kubeconfig".into()));
        let error = source.client().await.map(drop).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/kubeconfig"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{{{").unwrap();
        assert!(
            KubeClient::new(Some(file.path().into()))
                .client()
                .await
                .is_err()
        );
    }
}
