//! The certificates of a server under test: in, a folder; out, PEM files in it.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, one certificate that is good for every role, and one for none.
pub(crate) fn write_certificates(folder: &TempDir) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let names = ["localhost", tunnel::protocol::peer::NAME];
    let leaf = CertificateParams::new(names.map(str::to_owned)).expect("names");
    let leaf = leaf
        .signed_by(&key, &Issuer::from_params(&ca, &ca_key))
        .expect("a certificate");
    let other_key = KeyPair::generate().expect("a key");
    let other = CertificateParams::new(vec!["somebody".to_owned()]).expect("a name");
    let other = other
        .signed_by(&other_key, &Issuer::from_params(&ca, &ca_key))
        .expect("a certificate");
    for (name, pem) in [
        ("somebody.crt", other.pem()),
        ("somebody.key", other_key.serialize_pem()),
        (
            "ca.crt",
            ca.self_signed(&ca_key).expect("a certificate").pem(),
        ),
        ("tls.crt", leaf.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), pem).expect("a writable folder");
    }
}
