//! Where the lab keeps what it makes: one folder in the clone that `down` removes, one cache outside that stays.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The folders of one clone.
#[derive(Debug, Clone)]
pub struct Place {
    repository: PathBuf,
    cache: PathBuf,
}

impl Place {
    /// The clone this program was built from, with the given cache folder.
    pub fn new(cache: PathBuf) -> Self {
        let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            repository: crate_directory
                .parent()
                .unwrap_or(crate_directory)
                .to_owned(),
            cache,
        }
    }

    /// The clone.
    pub fn repository(&self) -> &Path {
        &self.repository
    }

    /// Built programs and images, kept from run to run.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Everything a running lab writes.
    pub fn state(&self) -> PathBuf {
        self.repository.join("target/lab")
    }

    /// The files one machine sees below `/run/node`.
    pub fn machine(&self, name: &str) -> PathBuf {
        self.state().join("machines").join(name)
    }

    /// Where a failure leaves what a person needs.
    pub fn logs(&self) -> PathBuf {
        self.repository.join("target/logs")
    }

    /// The demo's kubeconfigs.
    pub fn demo(&self) -> PathBuf {
        self.repository.join("target/demo")
    }

    /// Our product's images as OCI archives.
    pub fn images(&self) -> PathBuf {
        self.repository.join("target/images")
    }
}

/// Creates a directory and its parents.
pub fn create_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(Error::file("create", path))
}

/// Writes a file, its directory too.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        create_directory(parent)?;
    }
    std::fs::write(path, content).map_err(Error::file("write", path))
}

/// Reads a text file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::file("read", path))
}

/// Removes a directory with all that is in it; it need not be there.
pub fn remove_directory(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(source))
        }
        _ => Ok(()),
    }
}
