//! The real programs, built from the Go modules under `go/` that are pinned here, cached by the content of those modules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::command::Invocation;
use crate::error::{Error, Result};
use crate::place::{Place, create_directory};

/// The Kubernetes version the lab runs, which is the one of the documents' manifest.
pub const KUBERNETES: &str = "v1.33.0";

/// One Go module of ours and what it gives.
#[derive(Debug)]
struct Module {
    /// Its folder under `go/`.
    name: &'static str,
    /// What to build in it; a folder's worth of programs when it ends in `...`.
    package: &'static str,
    /// Names of the program: the first is the file, the others are links to it.
    names: &'static [&'static str],
}

/// Variables that say where kubectl and helm keep things, and the folder of ours for each.
const HOMES: [(&str, &str); 4] = [
    ("KUBECACHEDIR", "kube-cache"),
    ("HELM_CACHE_HOME", "helm-cache"),
    ("HELM_CONFIG_HOME", "helm-config"),
    ("HELM_DATA_HOME", "helm-data"),
];

const MODULES: [Module; 7] = [
    Module {
        name: "peers",
        package: ".",
        names: &["peers"],
    },
    Module {
        name: "workload",
        package: "./pause",
        names: &["pause"],
    },
    Module {
        name: "workload",
        package: "./testapp",
        names: &["testapp"],
    },
    Module {
        name: "etcd",
        package: ".",
        names: &["etcd", "etcdctl"],
    },
    Module {
        name: "helm",
        package: "helm.sh/helm/v3/cmd/helm",
        names: &["helm"],
    },
    Module {
        name: "coredns",
        package: ".",
        names: &["coredns"],
    },
    Module {
        name: "kubernetes",
        package: ".",
        names: &[
            "kubernetes",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
            "kubeadm",
            "kubectl",
        ],
    },
];

/// The built programs: one directory each, all together a `PATH`.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    directories: Vec<PathBuf>,
    /// Where they keep what they would else write to the home directory.
    home: PathBuf,
}

impl Programs {
    /// Builds what the cache does not hold; says so on standard error, for it takes minutes.
    pub async fn build(place: &Place) -> Result<Self> {
        let mut directories = Vec::new();
        for module in &MODULES {
            directories.push(module.build(place).await?);
        }
        Ok(Self {
            directories,
            home: place.state().join("home"),
        })
    }

    /// Whether the cache holds all of them.
    pub fn are_built(place: &Place) -> Result<bool> {
        for module in &MODULES {
            if !module.directory(place)?.exists() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Builds only the peers written in Go, and gives their file.
    pub async fn peers(place: &Place) -> Result<PathBuf> {
        let [peers, ..] = &MODULES;
        Ok(peers.build(place).await?.join(peers.name))
    }

    /// The file of a program.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let found = self
            .directories
            .iter()
            .map(|directory| directory.join(name))
            .find(|file| file.exists());
        found.ok_or_else(|| Error::Missing {
            what: name.to_owned(),
            remedy: "`lab build` builds the programs".into(),
        })
    }

    /// The value of `PATH` that finds these programs before the system's.
    pub fn search_path(&self) -> String {
        let mut parts: Vec<_> = self
            .directories
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        parts.push("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        parts.join(":")
    }

    /// One of these programs with arguments.
    pub fn command<'a>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Invocation> {
        Ok(self.settle(Invocation::new([self.path(name)?]).args(arguments)))
    }

    /// Has a program find these programs, and has kubectl and helm keep their caches in the lab's own folder.
    pub fn settle(&self, invocation: Invocation) -> Invocation {
        let mut settled = invocation.env("PATH", self.search_path());
        for (variable, folder) in HOMES {
            settled = settled.env(variable, self.home.join(folder));
        }
        settled
    }
}

impl Module {
    fn source(&self, place: &Place) -> PathBuf {
        place.repository().join("e2e/go").join(self.name)
    }

    fn program(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Where the cache has it, once it is built.
    fn directory(&self, place: &Place) -> Result<PathBuf> {
        let fingerprint = self.fingerprint(&self.source(place))?;
        let name = format!("{}-{fingerprint}", self.program());
        Ok(place.cache().join("programs").join(name))
    }

    async fn build(&self, place: &Place) -> Result<PathBuf> {
        let source = self.source(place);
        let program = self.program();
        let directory = self.directory(place)?;
        if directory.exists() {
            return Ok(directory);
        }
        tracing::info!(program, "building; kept in the cache afterwards");
        let unfinished = directory.with_extension("unfinished");
        crate::place::remove_directory(&unfinished)?;
        create_directory(&unfinished)?;
        // What go downloads and compiles stays in the cache too, wherever the user's own go keeps it.
        let go = place.cache().join("go");
        Invocation::new([
            "nice",
            "go",
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-modcacherw",
            "-ldflags",
            &link_flags(),
            "-o",
        ])
        .args([unfinished.join(program)])
        .args([self.package])
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", go.join("build"))
        .env("GOMODCACHE", go.join("modules"))
        .directory(&source)
        .limit(Duration::from_mins(30))
        .run()
        .await?;
        for link in self.names.iter().skip(1) {
            std::os::unix::fs::symlink(program, unfinished.join(link))
                .map_err(Error::file("create", link))?;
        }
        std::fs::rename(&unfinished, &directory).map_err(Error::file("rename", &unfinished))?;
        Ok(directory)
    }

    /// Changes whenever the program could.
    fn fingerprint(&self, source: &Path) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(link_flags());
        hash.update(self.package);
        for file in files_below(source)? {
            hash.update(
                file.strip_prefix(source)
                    .unwrap_or(&file)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            hash.update(std::fs::read(&file).map_err(Error::file("read", &file))?);
        }
        Ok(hex(&hash.finalize()).chars().take(16).collect())
    }
}

/// The version, which the components would else report as v0.0.0.
fn link_flags() -> String {
    const VERSION: &str = "k8s.io/component-base/version";
    const CLIENT: &str = "k8s.io/client-go/pkg/version";
    format!(
        "-s -w -X {VERSION}.gitVersion={KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=33 \
         -X {VERSION}.gitTreeState=clean -X {CLIENT}.gitVersion={KUBERNETES}"
    )
}

/// All files below a directory, in a stable order.
pub fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).map_err(Error::file("read", &next))? {
            let path = entry.map_err(Error::file("read", &next))?.path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
