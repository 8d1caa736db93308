//! What several tests need: files of the repository, manifests, a real API server.

pub(crate) mod built;
pub(crate) mod helm;
pub(crate) mod https;
pub(crate) mod kube_api;
pub(crate) mod link;
pub(crate) mod management;
pub(crate) mod pod;
pub(crate) mod requests;
pub(crate) mod secure_etcd;

use std::path::{Path, PathBuf};

use k8s_openapi::serde::de::DeserializeOwned;
use operator::api::{TenantControlPlane, schema};
use serde_json::Value;

/// A path from the root of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    let path = repository(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A manifest from YAML.
pub(crate) fn manifest<T: DeserializeOwned>(yaml: &str) -> T {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"))
}

/// The published schema of a kind.
pub(crate) fn schema_of(kind: &str) -> Value {
    let definition = schema::definitions()
        .into_iter()
        .find(|definition| definition.spec.names.kind == kind)
        .unwrap_or_else(|| panic!("no such kind: {kind}"));
    let version = definition.spec.versions.into_iter().next().unwrap();
    serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()
}

/// The examples, by file name.
pub(crate) fn examples() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(repository("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    found.sort();
    found
}

/// The manifest that most users start from.
pub(crate) fn document_manifest() -> TenantControlPlane {
    manifest(&read("examples/tenant-control-plane.yaml"))
}
