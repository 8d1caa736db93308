//! Handshakes over an in-memory pipe with throw-away certificates.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::*;

/// A CA and the files of leaves it signed.
struct Files {
    directory: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        std::fs::write(directory.path().join("ca.crt"), ca.pem()).expect("written");
        Self { directory, ca }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `NAME.crt` and `NAME.key` and returns the certificate's DER.
    fn leaf(&self, name: &str) -> Vec<u8> {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.ca).expect("signed");
        std::fs::write(self.path(&format!("{name}.crt")), leaf.pem()).expect("written");
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
        leaf.der().to_vec()
    }

    fn identity(&self, name: &str) -> (PathBuf, PathBuf) {
        (
            self.path(&format!("{name}.crt")),
            self.path(&format!("{name}.key")),
        )
    }

    fn acceptor(&self, client_ca: Option<&str>) -> Acceptor {
        let ca = client_ca.map(|name| self.path(name));
        Acceptor::new(
            &self.path("server.crt"),
            &self.path("server.key"),
            ca.as_deref(),
            &[b"h2"],
        )
        .expect("a pair that fits")
    }
}

/// The certificate that a client sees, or why there is no connection.
async fn handshake(
    acceptor: &Acceptor,
    files: &Files,
    identity: Option<&str>,
) -> std::io::Result<Vec<u8>> {
    let identity = identity.map(|name| files.identity(name));
    let config = client_config(&files.path("ca.crt"), identity.as_ref(), &["h2".to_owned()])
        .expect("a client's configuration");
    let (near, far) = tokio::io::duplex(16 * 1024);
    let name = ServerName::try_from("localhost").expect("a name");
    let (accepted, connected) = tokio::join!(
        acceptor.accept(far),
        TlsConnector::from(config).connect(name, near)
    );
    accepted?;
    let connected = connected?;
    let (_, session) = connected.get_ref();
    assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
    Ok(session
        .peer_certificates()
        .expect("a server has one")
        .first()
        .expect("one")
        .to_vec())
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let files = Files::new();
    let old = files.leaf("server");
    let acceptor = files.acceptor(None);
    assert_eq!(
        handshake(&acceptor, &files, None)
            .await
            .expect("a handshake"),
        old
    );
    let new = files.leaf("server");
    let later = SystemTimeAhead::of(&files.path("server.crt"));
    assert_eq!(
        handshake(&acceptor, &files, None)
            .await
            .expect("a handshake"),
        old
    );
    tokio::time::pause();
    tokio::time::advance(RECHECK).await;
    later.apply();
    assert_eq!(
        handshake(&acceptor, &files, None)
            .await
            .expect("a handshake"),
        new
    );
}

#[tokio::test]
async fn files_that_do_not_fit_keep_the_old_certificate_in_service() {
    let files = Files::new();
    let old = files.leaf("server");
    let acceptor = files.acceptor(None);
    std::fs::write(
        files.path("server.key"),
        "no key at all, and of another length",
    )
    .expect("written");
    tokio::time::pause();
    tokio::time::advance(RECHECK).await;
    assert_eq!(
        handshake(&acceptor, &files, None)
            .await
            .expect("a handshake"),
        old
    );
}

#[tokio::test]
async fn a_client_without_certificate_is_refused_when_a_ca_is_named() {
    let files = Files::new();
    files.leaf("server");
    files.leaf("agent");
    let acceptor = files.acceptor(Some("ca.crt"));
    handshake(&acceptor, &files, Some("agent"))
        .await
        .expect("a client of the CA");
    handshake(&acceptor, &files, None)
        .await
        .expect_err("a client without certificate");
}

#[test]
fn errors_name_the_file() {
    let files = Files::new();
    files.leaf("server");
    let missing = files.path("missing.crt");
    let error = Acceptor::new(&missing, &files.path("server.key"), None, &[]).expect_err("missing");
    assert!(error.to_string().contains("missing.crt"), "{error}");
    files.leaf("other");
    let error = Acceptor::new(
        &files.path("server.crt"),
        &files.path("other.key"),
        None,
        &[],
    );
    let error = error.expect_err("a key of another certificate");
    assert!(error.to_string().contains("other.key"), "{error}");
}

#[test]
fn suites_of_go_that_are_not_safe_are_left_out() {
    let names = [
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    ];
    let policy = Policy::from_flags(&names.map(str::to_owned), "VersionTLS11");
    let left = policy.restrict(provider()).cipher_suites;
    let tls12: Vec<_> = left
        .iter()
        .filter(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_2)
        .map(|suite| format!("{:?}", suite.suite()))
        .collect();
    assert_eq!(tls12, ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
    assert_eq!(left.len(), 4, "the three suites of TLS 1.3 stay");
    assert_eq!(Policy::from_flags(&[], "VersionTLS13").versions().len(), 1);
}

/// Moves a file's time on, as coarse clocks of file systems can give two writes the same.
struct SystemTimeAhead(PathBuf);

impl SystemTimeAhead {
    fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn apply(&self) {
        let file = std::fs::File::options()
            .append(true)
            .open(&self.0)
            .expect("the file");
        let time = file
            .metadata()
            .and_then(|data| data.modified())
            .expect("its time");
        file.set_modified(time + std::time::Duration::from_secs(1))
            .expect("a new time");
    }
}
