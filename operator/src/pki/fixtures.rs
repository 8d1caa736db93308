//! Keys and authorities as others leave them, made when a test asks for them.

use base64::Engine as _;
use jiff::Timestamp;

use super::{Algorithm, KeyPair, generate, offset_date_time};

/// Takes the PKCS#1 key out of its PKCS#8 wrapping: version, algorithm and lengths take 26 bytes for RSA-2048.
pub(crate) fn pkcs1(key: &rcgen::KeyPair) -> String {
    pem("RSA PRIVATE KEY", &key.serialized_der()[26..])
}

/// The same EC key as SEC1 has it: version, the number, the curve, the point.
pub(crate) fn sec1(key: &rcgen::KeyPair) -> String {
    let number = &key.serialized_der()[36..68];
    let curve = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let point = [&[0xa1, 0x44, 0x03, 0x42, 0x00], key.public_key_raw()].concat();
    let der = [
        &[0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20],
        number,
        &curve,
        &point,
    ]
    .concat();
    pem("EC PRIVATE KEY", &der)
}

/// An authority as Kamaji leaves it: RSA-2048, PKCS#1, ten years.
pub(crate) fn kamaji_authority(common_name: &str, now: Timestamp) -> KeyPair {
    let key = generate(Algorithm::Rsa2048).unwrap();
    let mut params = rcgen::CertificateParams::new(vec![common_name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, common_name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![
        rcgen::KeyUsagePurpose::DigitalSignature,
        rcgen::KeyUsagePurpose::KeyEncipherment,
        rcgen::KeyUsagePurpose::KeyCertSign,
    ];
    params.not_before = offset_date_time(now);
    params.not_after = offset_date_time(now + jiff::SignedDuration::from_hours(10 * 365 * 24));
    KeyPair::new(params.self_signed(&key).unwrap().pem(), pkcs1(&key))
}

/// A leaf as Kamaji leaves it: RSA-2048, PKCS#1, signed by the given authority.
pub(crate) fn kamaji_leaf(
    authority: &super::Authority,
    request: &super::Request,
    now: Timestamp,
) -> KeyPair {
    let signing_key = rcgen::KeyPair::from_pem(authority.pair().key()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.certificate(), signing_key).unwrap();
    let key = generate(Algorithm::Rsa2048).unwrap();
    let certificate = request
        .params(now)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    KeyPair::new(certificate.pem(), pkcs1(&key))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64);
    let lines: Vec<_> = lines
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
