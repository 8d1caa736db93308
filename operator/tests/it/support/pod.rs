//! A container of a built pod as a process of this machine: its volumes become folders, its arguments point there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret, Volume};
use k8s_openapi::serde::de::DeserializeOwned;
use kube::Resource;
use operator::objects::{Desired, Objects};

use super::secure_etcd::find;

/// What the downward API would say.
pub(crate) const POD_UID: &str = "0f4b9f6c-5d6e-4c59-8f36-0c9c9b2f8d11";

/// The containers of a pod that run. Dropping it stops them and removes their files.
pub(crate) struct Pod<'a> {
    objects: &'a Objects<Desired>,
    spec: PodSpec,
    directory: tempfile::TempDir,
    children: Vec<Child>,
}

impl<'a> Pod<'a> {
    /// The pod of the built Deployment, with no container running yet.
    pub(crate) fn of(objects: &'a Objects<Desired>) -> Self {
        let deployment = objects
            .present()
            .iter()
            .find(|object| object.reference.api.kind == "Deployment")
            .expect("a control plane that serves has a Deployment");
        let deployment: Deployment = serde_json::from_value(deployment.body.clone()).unwrap();
        Self {
            objects,
            spec: deployment.spec.unwrap().template.spec.unwrap(),
            directory: tempfile::tempdir().unwrap(),
            children: Vec::new(),
        }
    }

    /// Starts a container's program of the lab; `false` when there is none.
    pub(crate) fn start(&mut self, name: &str) -> bool {
        let Some(program) = find(name) else {
            return false;
        };
        let log = File::create(self.log(name)).unwrap();
        let child = Command::new(program)
            .args(self.arguments(name))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.push(child);
        true
    }

    /// The arguments of a container, its files laid out and its variables put in.
    pub(crate) fn arguments(&self, name: &str) -> Vec<String> {
        let found = |container: &&Container| container.name == name;
        let container = self.spec.containers.iter().find(found).unwrap().clone();
        let root = self.directory.path().join(name);
        let mounts = container.volume_mounts.unwrap_or_default();
        for mount in &mounts {
            self.fill(&mount.name, &inside(&root, &mount.mount_path));
        }
        let led = |argument: String| {
            let mut paths = mounts.iter().map(|mount| mount.mount_path.as_str());
            match paths.find(|path| argument.contains(*path)) {
                Some(path) => {
                    argument.replacen(path, &inside(&root, path).display().to_string(), 1)
                }
                None => argument.replace("$(POD_UID)", POD_UID),
            }
        };
        container
            .args
            .unwrap_or_default()
            .into_iter()
            .map(led)
            .collect()
    }

    /// The end of what a container wrote.
    pub(crate) fn said(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let (_, last) = lines.split_at(lines.len().saturating_sub(25));
        last.join("\n")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    fn fill(&self, volume: &str, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let volumes = self.spec.volumes.as_ref().unwrap();
        let volume = volumes.iter().find(|found| found.name == volume).unwrap();
        for (path, bytes) in self.files(volume) {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn files(&self, volume: &Volume) -> BTreeMap<String, Vec<u8>> {
        if let Some(config_map) = &volume.config_map {
            let config_map: ConfigMap = self.object(&config_map.name);
            let data = config_map.data.unwrap_or_default();
            return data
                .into_iter()
                .map(|(key, text)| (key, text.into_bytes()))
                .collect();
        }
        let sources = volume
            .projected
            .as_ref()
            .and_then(|projected| projected.sources.clone());
        let secrets = sources
            .into_iter()
            .flatten()
            .filter_map(|source| source.secret);
        let mut files = BTreeMap::new();
        for source in secrets {
            let data = self.object::<Secret>(&source.name).data.unwrap();
            for item in source.items.unwrap() {
                files.insert(item.path, data[&item.key].0.clone());
            }
        }
        files
    }

    /// One of the built objects.
    pub(crate) fn object<K>(&self, name: &str) -> K
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let kind = K::kind(&());
        let found = self
            .objects
            .find(&kind, name)
            .expect("a volume names what is built");
        serde_json::from_value(found.body.clone()).unwrap()
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a path of the container is on this machine.
fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
