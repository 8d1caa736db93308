//! One layer of an image: files of this machine under the paths they have in the image.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::image::tar::Tar;

/// A finished layer.
#[derive(Debug)]
pub struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    /// The layer's tar archive.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Starts a layer.
    pub fn builder() -> LayerBuilder {
        LayerBuilder::default()
    }
}

/// A layer being filled.
#[derive(Debug, Default)]
pub struct LayerBuilder {
    tar: Tar,
    known: BTreeSet<String>,
}

impl LayerBuilder {
    /// Adds a file of this machine; `inside` is its absolute path in the image.
    pub fn file(mut self, source: &Path, inside: &str) -> Result<Self> {
        let Some(name) = self.enter(inside) else {
            return Ok(self);
        };
        let content = std::fs::read(source).map_err(Error::file("read", source))?;
        let mode = std::fs::metadata(source)
            .map_err(Error::file("read", source))?
            .permissions()
            .mode()
            & 0o755;
        self.tar.file(&name, mode, &content);
        Ok(self)
    }

    /// Adds a file with the given content.
    #[must_use]
    pub fn text(mut self, inside: &str, content: &str) -> Self {
        if let Some(name) = self.enter(inside) {
            self.tar.file(&name, 0o644, content.as_bytes());
        }
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, inside: &str, target: &str) -> Self {
        if let Some(name) = self.enter(inside) {
            self.tar.link(&name, target);
        }
        self
    }

    /// Adds an empty directory that anybody may write to.
    #[must_use]
    pub fn scratch(mut self, inside: &str) -> Self {
        if let Some(name) = self.enter(inside) {
            self.tar.directory(&name, 0o1777);
        }
        self
    }

    /// The finished layer.
    pub fn build(self) -> Layer {
        Layer {
            bytes: self.tar.finish(),
        }
    }

    /// Makes the parents of a path; `None` when the path is there already.
    fn enter(&mut self, inside: &str) -> Option<String> {
        let name = inside.trim_start_matches('/').to_owned();
        for (end, _) in name.match_indices('/') {
            let parent: String = name.chars().take(end).collect();
            if self.known.insert(parent.clone()) {
                self.tar.directory(&parent, 0o755);
            }
        }
        self.known.insert(name.clone()).then_some(name)
    }
}
