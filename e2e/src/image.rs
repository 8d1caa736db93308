//! Container images without a container engine: files go in, an OCI archive comes out that `ctr import` or a registry takes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::Result;
use crate::image::layer::Layer;
use crate::image::tar::Tar;
use crate::programs::hex;

pub mod layer;
pub mod libraries;
pub mod product;
pub mod tar;
#[cfg(test)]
mod tests;
pub mod workload;

/// An image: layers, and what runs in it by default.
#[derive(Debug, Default)]
pub struct Image {
    layers: Vec<Layer>,
    entry_point: Vec<String>,
    user: String,
}

impl Image {
    /// An image of these layers.
    pub fn new(layers: Vec<Layer>) -> Self {
        Self {
            layers,
            ..Self::default()
        }
    }

    /// What runs when a pod names no command.
    #[must_use]
    pub fn entry_point(mut self, argv: &[&str]) -> Self {
        self.entry_point = argv.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// The numeric user it runs as.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Writes the archive under the names the image is known by; equal input gives equal bytes.
    pub fn write(&self, names: &[&str], archive: &Path) -> Result<PathBuf> {
        let mut tar = Tar::default();
        tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
        let mut descriptors = Vec::new();
        let mut digests = Vec::new();
        for layer in &self.layers {
            let descriptor = blob(
                &mut tar,
                "application/vnd.oci.image.layer.v1.tar",
                layer.bytes(),
            );
            digests.push(descriptor.get("digest").cloned().unwrap_or_default());
            descriptors.push(descriptor);
        }
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": self.entry_point,
                "User": self.user,
                "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "WorkingDir": "/",
            },
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = blob(
            &mut tar,
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": descriptors,
        });
        let manifest = blob(
            &mut tar,
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
        );
        let manifests: Vec<_> = names
            .iter()
            .map(|name| with_name(&manifest, name))
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        tar.file("index.json", 0o644, index.to_string().as_bytes());
        crate::place::write(archive, tar.finish())?;
        Ok(archive.to_owned())
    }
}

/// Adds a blob to the archive and describes it.
fn blob(tar: &mut Tar, media_type: &str, content: &[u8]) -> Value {
    use sha2::Digest as _;
    let digest = hex(&sha2::Sha256::digest(content));
    tar.file(&format!("blobs/sha256/{digest}"), 0o644, content);
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len() })
}

/// The manifest's descriptor with one of the image's names.
fn with_name(manifest: &Value, name: &str) -> Value {
    let tag = name.rsplit_once(':').map_or(name, |(_, tag)| tag);
    let mut descriptor = manifest.clone();
    if let Some(fields) = descriptor.as_object_mut() {
        fields.insert(
            "platform".into(),
            json!({ "architecture": architecture(), "os": "linux" }),
        );
        fields.insert(
            "annotations".into(),
            json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag }),
        );
    }
    descriptor
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
