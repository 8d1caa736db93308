//! A real kube-apiserver with its etcd, on loopback, in a directory that goes with it.
//!
//! `WARREN_KUBE_BIN` names a directory with `etcd` and `kube-apiserver`; without it those of
//! the lab's cache are taken. Where there are none the test says that it was not run, and fails
//! when `WARREN_REQUIRE_KUBE=1` asks for it.

use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Who may come: one who may do everything, and the ServiceAccount that the chart makes.
const TOKENS: &str = "root-token,root,root,system:masters
operator-token,system:serviceaccount:warren-system:warren,operator,\"system:serviceaccounts,system:authenticated\"
";

/// A running API server. Dropping it stops both programs and removes their files.
pub(crate) struct KubeApi {
    children: Vec<Child>,
    directory: tempfile::TempDir,
    port: u16,
}

/// Where both programs are.
struct Programs {
    etcd: PathBuf,
    api_server: PathBuf,
}

impl KubeApi {
    /// Starts both programs, or says why not.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let Some(programs) = Programs::find() else {
            missing(test, "etcd and kube-apiserver");
            return None;
        };
        // A port that was free a moment ago may be taken by now; that is seen and tried again.
        let mut said = String::new();
        for _ in 0..3 {
            match Self::attempt(&programs).await {
                Ok(running) => return Some(running),
                Err(logs) => said = logs,
            }
        }
        panic!("{test}: kube-apiserver did not become ready in three attempts:\n{said}");
    }

    /// The error is the end of both logs.
    async fn attempt(programs: &Programs) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let [client, peer, port] = free_ports();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("tokens"), TOKENS).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
        std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
        let etcd = spawn(
            Command::new(&programs.etcd).args([
                format!("--data-dir={}", at("etcd").display()),
                format!("--listen-client-urls=http://127.0.0.1:{client}"),
                format!("--advertise-client-urls=http://127.0.0.1:{client}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=error".to_owned(),
            ]),
            &at("etcd.log"),
        );
        let mut running = Self {
            children: vec![etcd],
            directory,
            port,
        };
        let at = |name: &str| running.directory.path().join(name).display().to_string();
        let api_server = spawn(
            Command::new(&programs.api_server).args([
                format!("--etcd-servers=http://127.0.0.1:{client}"),
                format!("--cert-dir={}", at("certs")),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", at("sa.pub")),
                format!("--service-account-signing-key-file={}", at("sa.key")),
                format!("--token-auth-file={}", at("tokens")),
                "--authorization-mode=RBAC".to_owned(),
                "--allow-privileged=true".to_owned(),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
            ]),
            Path::new(&at("api-server.log")),
        );
        running.children.push(api_server);
        if running.until_ready().await {
            return Ok(running);
        }
        Err(running.logs())
    }

    /// The end of both logs.
    fn logs(&self) -> String {
        let tail = |name: &str| {
            let path = self.directory.path().join(name);
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(15));
            last.map(|line| format!("{name}: {line}"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        format!("{}\n{}", tail("etcd.log"), tail("api-server.log"))
    }

    /// The port on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig of somebody who may do everything.
    pub(crate) fn kubeconfig(&self) -> serde_json::Value {
        serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": "it", "user": {"token": "root-token"}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        })
    }

    /// The same as a file, which goes with the server, for who has the token.
    pub(crate) fn kubeconfig_file(&self, token: &str) -> PathBuf {
        let mut kubeconfig = self.kubeconfig();
        kubeconfig["users"][0]["user"]["token"] = token.into();
        let file = self.directory.path().join(token);
        std::fs::write(&file, kubeconfig.to_string()).unwrap();
        file
    }

    /// A client that may do everything.
    pub(crate) async fn client(&self) -> Client {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        config.auth_info = AuthInfo {
            token: Some("root-token".to_owned().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).unwrap()
    }

    async fn until_ready(&mut self) -> bool {
        let client = self.client().await;
        for _ in 0..240 {
            if self
                .children
                .iter_mut()
                .any(|child| child.try_wait().is_ok_and(|ended| ended.is_some()))
            {
                return false;
            }
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            if client
                .request_text(request)
                .await
                .is_ok_and(|body| body == "ok")
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        false
    }
}

impl Drop for KubeApi {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Programs {
    fn find() -> Option<Self> {
        Some(Self {
            etcd: program("etcd")?,
            api_server: program("kube-apiserver")?,
        })
    }
}

/// Says that a test is not run for want of `programs`, and fails it where it must be run.
pub(crate) fn missing(test: &str, programs: &str) {
    let required = setting("WARREN_REQUIRE_KUBE").is_some_and(|value| value == "1");
    assert!(
        !required,
        "{test}: no {programs}; `make programs` builds them, WARREN_KUBE_BIN names their directory"
    );
    let mut out = std::io::stderr().lock();
    let _ = writeln!(
        out,
        "{test}: not run: no {programs} in WARREN_KUBE_BIN or the lab's cache"
    );
}

/// Where a program of the lab is.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let named = setting("WARREN_KUBE_BIN").map(PathBuf::from);
    let cached = setting("HOME").map(|home| PathBuf::from(home).join(".cache/warren/programs"));
    let mut folders: Vec<PathBuf> = named.into_iter().collect();
    let cached = cached.and_then(|cached| std::fs::read_dir(cached).ok());
    let mut cached: Vec<PathBuf> = cached
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    cached.retain(|path| {
        path.extension()
            .is_none_or(|extension| extension != "unfinished")
    });
    cached.sort();
    folders.extend(cached);
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no args.rs; this is their edge"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn free_ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = std::fs::File::create(log).unwrap();
    // A program that was written a moment ago may still be open for writing in a forked sibling.
    for _ in 0..50 {
        let out = log.try_clone().unwrap();
        let err = log.try_clone().unwrap();
        match command.stdin(Stdio::null()).stdout(out).stderr(err).spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(20));
            }
            started => return started.unwrap(),
        }
    }
    panic!("{command:?} stays busy");
}
