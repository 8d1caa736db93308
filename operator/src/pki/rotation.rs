//! Whether a leaf is still good: a pure function of the certificate, what it must be, its authority and the time.
//!
//! A leaf lives a year and is renewed at two thirds of its life, so that a failing renewal has four months to be
//! noticed. More than is wanted (further names, a longer life, an older key kind) is no reason to renew: what Kamaji
//! left is kept until it is due.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::leaf::San;
use super::{Authority, KeyPair, Request, holds_key_of, timestamp, with_certificate};

/// Why a leaf is renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    Missing,
    /// The certificate or its key cannot be read.
    Unreadable,
    /// Key and certificate are not a pair.
    KeyMismatch,
    /// Its authority did not sign it.
    ForeignAuthority,
    /// It is somebody else's.
    OtherSubject,
    /// It may not be used for what it is needed for.
    UsageMissing,
    /// These names are not in it.
    NamesMissing(Vec<String>),
    /// Two thirds of its life are over, or all of it.
    Due,
    /// Somebody set the rotate annotation.
    Asked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there was none"),
            Self::Unreadable => f.write_str("the old one could not be read"),
            Self::KeyMismatch => f.write_str("the old key did not belong to the certificate"),
            Self::ForeignAuthority => {
                f.write_str("the old one was not signed by the present authority")
            }
            Self::OtherSubject => f.write_str("the old one named another subject"),
            Self::UsageMissing => f.write_str("the old one lacked a key usage"),
            Self::NamesMissing(names) => {
                write!(f, "the old one lacked the names {}", names.join(", "))
            }
            Self::Due => f.write_str("two thirds of the old one's life were over"),
            Self::Asked => f.write_str("the rotate annotation asked for it"),
        }
    }
}

/// What is to be done about a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is good; look again then.
    Keep {
        /// When it is due.
        renew_at: Timestamp,
    },
    /// Issue another one.
    Renew(Reason),
}

/// Judges an existing leaf. The annotation is judged apart ([`is_asked`]): it concerns a whole Secret.
pub fn judge(
    leaf: Option<&KeyPair>,
    wanted: &Request,
    authority: &Authority,
    now: Timestamp,
) -> Verdict {
    let Some(leaf) = leaf else {
        return Verdict::Renew(Reason::Missing);
    };
    let Ok(key) = rcgen::KeyPair::from_pem(leaf.key()) else {
        return Verdict::Renew(Reason::Unreadable);
    };
    let judged = with_certificate(leaf.certificate(), |certificate| {
        if !holds_key_of(certificate, &key) {
            return Verdict::Renew(Reason::KeyMismatch);
        }
        if !is_signed_by(certificate, authority) {
            return Verdict::Renew(Reason::ForeignAuthority);
        }
        shortcoming(certificate, wanted).map_or_else(|| judge_age(certificate, now), Verdict::Renew)
    });
    judged.unwrap_or(Verdict::Renew(Reason::Unreadable))
}

/// Judges an existing authority that may be replaced: one that is handed anew to all who trust it.
pub fn judge_authority(pair: Option<&KeyPair>, now: Timestamp) -> Verdict {
    let Some(pair) = pair else {
        return Verdict::Renew(Reason::Missing);
    };
    if Authority::read(pair.clone()).is_err() {
        return Verdict::Renew(Reason::Unreadable);
    }
    with_certificate(pair.certificate(), |certificate| {
        judge_age(certificate, now)
    })
    .unwrap_or(Verdict::Renew(Reason::Unreadable))
}

/// Whether the value of the rotate annotation asks for renewal.
///
/// Empty asks, and so does anything a person may write, such as `true`; a time is our answer to an earlier request.
pub fn is_asked(annotation: Option<&str>) -> bool {
    annotation.is_some_and(|value| value.parse::<Timestamp>().is_err())
}

/// What the annotation reads once the request is answered.
pub fn answer(now: Timestamp) -> String {
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

fn is_signed_by(certificate: &X509Certificate<'_>, authority: &Authority) -> bool {
    with_certificate(authority.certificate(), |ca| {
        certificate.issuer().as_raw() == ca.subject().as_raw()
            && certificate.verify_signature(Some(ca.public_key())).is_ok()
    })
    .unwrap_or(false)
}

fn shortcoming(certificate: &X509Certificate<'_>, wanted: &Request) -> Option<Reason> {
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    if common_name != Some(wanted.common_name.as_str()) {
        return Some(Reason::OtherSubject);
    }
    if !may_be_used(certificate, wanted) {
        return Some(Reason::UsageMissing);
    }
    let stated = sans(certificate);
    let missing: Vec<_> = wanted
        .sans
        .difference(&stated)
        .map(San::to_string)
        .collect();
    (!missing.is_empty()).then_some(Reason::NamesMissing(missing))
}

fn may_be_used(certificate: &X509Certificate<'_>, wanted: &Request) -> bool {
    // Without the extension a certificate may be used for everything.
    let Ok(Some(usage)) = certificate.extended_key_usage() else {
        return true;
    };
    usage.value.any
        || ((!wanted.usage.serves() || usage.value.server_auth)
            && (!wanted.usage.dials() || usage.value.client_auth))
}

fn sans(certificate: &X509Certificate<'_>) -> BTreeSet<San> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(host) => Some(San::Dns(host.to_ascii_lowercase())),
            GeneralName::IPAddress(bytes) => ip_address(bytes).map(San::Ip),
            _ => None,
        })
        .collect()
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

fn judge_age(certificate: &X509Certificate<'_>, now: Timestamp) -> Verdict {
    let start = timestamp(certificate.validity().not_before);
    let end = timestamp(certificate.validity().not_after);
    let seconds = end.as_second().saturating_sub(start.as_second());
    let renew_at = start
        .checked_add(SignedDuration::from_secs(seconds / 3 * 2))
        .unwrap_or(end);
    if now >= renew_at || now < start {
        Verdict::Renew(Reason::Due)
    } else {
        Verdict::Keep { renew_at }
    }
}

/// How good a certificate is by its age alone; the worse, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It can be used, and is not due.
    Valid,
    /// It can be used, and should have been renewed: more than two thirds of its life are over.
    Expiring,
    /// It cannot be read, or its time is not now.
    Invalid,
}

impl Health {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Valid, Self::Expiring, Self::Invalid];

    /// Kamaji's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expiring => "expiring",
            Self::Invalid => "invalid",
        }
    }
}

/// Judges a certificate, PEM, by its age alone.
pub fn health(pem: &str, now: Timestamp) -> Health {
    let judged = with_certificate(pem, |certificate| {
        let validity = certificate.validity();
        if now < timestamp(validity.not_before) || now >= timestamp(validity.not_after) {
            return Health::Invalid;
        }
        match judge_age(certificate, now) {
            Verdict::Keep { .. } => Health::Valid,
            Verdict::Renew(_) => Health::Expiring,
        }
    });
    judged.unwrap_or(Health::Invalid)
}

/// The names a certificate serves under; none when it cannot be read.
pub fn names(pem: &str) -> BTreeSet<San> {
    with_certificate(pem, sans).unwrap_or_default()
}
