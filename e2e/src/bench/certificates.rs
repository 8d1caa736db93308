//! Certificates of a run: a throw-away CA and a leaf for each half, as PEM files in a folder that goes with the run.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::error::{Error, Result};
use crate::place::write;

/// The leaf of the half that is dialled.
pub const SERVER: &str = "server";
/// The leaf of the half that dials.
pub const AGENT: &str = "agent";

/// Makes them.
pub fn make(folder: &Path) -> Result<()> {
    let ca_key = KeyPair::generate().map_err(impossible)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(impossible)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&ca_key).map_err(impossible)?;
    write(&ca(folder), authority.pem())?;
    let issuer = Issuer::from_params(&params, &ca_key);
    for name in [SERVER, AGENT] {
        let key = KeyPair::generate().map_err(impossible)?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(impossible)?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let (cert_file, key_file) = leaf(folder, name);
        let cert = params.signed_by(&key, &issuer).map_err(impossible)?;
        write(&cert_file, cert.pem())?;
        write(&key_file, key.serialize_pem())?;
    }
    Ok(())
}

/// The CA's file.
pub fn ca(folder: &Path) -> PathBuf {
    folder.join("ca.crt")
}

/// The files of a leaf: certificate and key.
pub fn leaf(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    (file("crt"), file("key"))
}

fn impossible(source: rcgen::Error) -> Error {
    Error::file("make", "certificates")(std::io::Error::other(source))
}
