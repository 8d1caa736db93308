//! A real etcd that speaks TLS only and asks every client for a certificate, as a `DataStore` needs it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use operator::etcd::{Etcd, TlsMaterial};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A running etcd. Dropping it stops the program and removes its files.
pub(crate) struct SecureEtcd {
    child: Child,
    _directory: tempfile::TempDir,
    authority: Authority,
    port: u16,
}

/// Who signs the certificates of one etcd.
pub(crate) struct Authority {
    /// The certificate, PEM.
    pub(crate) certificate: String,
    /// Its key, PEM.
    pub(crate) key: String,
}

impl Authority {
    /// Makes one.
    pub(crate) fn create() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // kubeadm begins what it signs when its authority began.
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        params
            .distinguished_name
            .push(DnType::CommonName, "etcd-ca");
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            certificate,
            key: key.serialize_pem(),
        }
    }

    /// Signs a certificate for `common_name`, good for loopback, as server and as client.
    pub(crate) fn sign(&self, common_name: &str) -> (String, String) {
        let issuer =
            Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key).unwrap())
                .unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        (
            params.signed_by(&key, &issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

impl SecureEtcd {
    /// Starts it, or says why not.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let Some(program) = find("etcd") else {
            assert!(
                setting("WARREN_REQUIRE_KUBE").is_none_or(|value| value != "1"),
                "{test}: no etcd"
            );
            let _ = writeln!(
                std::io::stderr(),
                "{test}: not run: no etcd in WARREN_KUBE_BIN or the lab's cache"
            );
            return None;
        };
        for _attempt in 0..3 {
            let mut etcd = Self::attempt(&program);
            if etcd.until_ready().await {
                return Some(etcd);
            }
        }
        panic!("{test}: etcd did not become ready in three attempts");
    }

    fn attempt(program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create();
        let (certificate, key) = authority.sign("etcd");
        let at = |name: &str| directory.path().join(name).display().to_string();
        for (name, text) in [
            ("ca.crt", &authority.certificate),
            ("tls.crt", &certificate),
            ("tls.key", &key),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, peer] = held.map(|listener| listener.local_addr().unwrap().port());
        let child = Command::new(program)
            .args([
                format!("--data-dir={}", at("data")),
                format!("--listen-client-urls=https://127.0.0.1:{port}"),
                format!("--advertise-client-urls=https://127.0.0.1:{port}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--trusted-ca-file={}", at("ca.crt")),
                format!("--cert-file={}", at("tls.crt")),
                format!("--key-file={}", at("tls.key")),
                "--client-cert-auth".to_owned(),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=error".to_owned(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            _directory: directory,
            authority,
            port,
        }
    }

    async fn until_ready(&mut self) -> bool {
        for _look in 0..100 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            if Etcd::connect(&[self.endpoint()], &self.tls("root"))
                .await
                .is_ok()
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// Where it answers, as `host:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Who signs its certificates.
    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What the client `common_name` shows.
    pub(crate) fn tls(&self, common_name: &str) -> TlsMaterial {
        let (certificate, key) = self.authority.sign(common_name);
        TlsMaterial {
            authority: self.authority.certificate.clone().into_bytes(),
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
        }
    }
}

impl Drop for SecureEtcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program from `WARREN_KUBE_BIN` or the lab's cache.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let named = setting("WARREN_KUBE_BIN").map(PathBuf::from);
    let cache = setting("HOME").map(|home| PathBuf::from(home).join(".cache/warren/programs"));
    let cached = cache
        .and_then(|cache| std::fs::read_dir(cache).ok())
        .into_iter()
        .flatten()
        .flatten();
    let folders = named.into_iter().chain(cached.map(|entry| entry.path()));
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no args.rs; this is their edge"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
