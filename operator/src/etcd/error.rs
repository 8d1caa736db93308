//! What can go wrong with etcd, sorted by who can mend it: in a gRPC status or a failed dial, out a
//! [`Fault`] with a sentence that says what to do.

use std::error::Error as StdError;

use tonic::{Code, Status};

/// Who or what is at fault; the reason of a condition and the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No endpoint answered.
    Unreachable,
    /// One side does not trust the other's certificate.
    Tls,
    /// The certificate is accepted, but its user may not do this.
    Unauthorized,
    /// What the `DataStore` says cannot be used as it stands.
    Invalid,
    /// etcd answered with an error of its own.
    Refused,
    /// What is to be the tenant's is somebody else's.
    Taken,
}

impl Fault {
    /// The fault as one word, for conditions and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::Tls => "TLSFailed",
            Self::Unauthorized => "Unauthorized",
            Self::Invalid => "Invalid",
            Self::Refused => "Refused",
            Self::Taken => "Taken",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "check spec.endpoints of the DataStore, that etcd runs, and that no NetworkPolicy or firewall stands between it and the operator"
            }
            Self::Tls => {
                "check that spec.tlsConfig.certificateAuthority of the DataStore signed etcd's server certificate, that this certificate names the endpoint, and that etcd trusts spec.tlsConfig.clientCertificate"
            }
            Self::Unauthorized => {
                "the common name of spec.tlsConfig.clientCertificate must be an etcd user with the role `root`"
            }
            Self::Invalid => "correct the DataStore",
            Self::Taken => {
                "write another spec.dataStoreUsername, or take that role from the user (`etcdctl user revoke-role`)"
            }
            Self::Refused => "look at etcd's log and alarms (`etcdctl alarm list`)",
        }
    }
}

/// Why a call to etcd did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The `DataStore` holds something that is no endpoint, certificate or key.
    #[error("{what} is not usable: {why}")]
    Invalid {
        /// Which part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// No endpoint could be used; each with its reason.
    #[error("no endpoint of etcd could be used: {}", tried.iter().map(|(endpoint, error)| format!("{endpoint}: {}", chain(error))).collect::<Vec<_>>().join("; "))]
    NoEndpoint {
        /// Endpoint and what happened there.
        tried: Vec<(String, Self)>,
    },
    /// The connection was not made.
    #[error("cannot connect")]
    Dial(#[source] Box<dyn StdError + Send + Sync>),
    /// It was not made in time.
    #[error("no answer within {seconds} s")]
    Timeout {
        /// The time that was given.
        seconds: u64,
    },
    /// The connection was made and closed before the first answer.
    #[error(
        "the connection was closed right after it was made, as etcd does when it does not trust the client certificate"
    )]
    HungUp(#[source] Box<Status>),
    /// The tenant's user is there and may do more than the tenant.
    #[error("user {user} of etcd has the role {role}, which is not the tenant's")]
    UserTaken {
        /// The user.
        user: String,
        /// A role that it has.
        role: String,
    },
    /// A call was answered with an error.
    #[error("etcd did not {doing}")]
    Call {
        /// What was asked for.
        doing: &'static str,
        /// etcd's answer.
        #[source]
        source: Box<Status>,
    },
}

impl Error {
    /// Sorts the error by who can mend it. Of several endpoints the one that came furthest counts:
    /// a member that refuses our certificate says more than two that do not answer.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid { .. } => Fault::Invalid,
            Self::UserTaken { .. } => Fault::Taken,
            Self::NoEndpoint { tried } => tried
                .iter()
                .map(|(_, error)| error.fault())
                .max_by_key(|fault| match fault {
                    Fault::Unreachable => 0,
                    Fault::Tls => 1,
                    Fault::Invalid => 2,
                    Fault::Refused => 3,
                    Fault::Unauthorized => 4,
                    Fault::Taken => 5,
                })
                .unwrap_or(Fault::Unreachable),
            Self::Dial(source) if is_tls(source.as_ref()) => Fault::Tls,
            Self::HungUp(_) => Fault::Tls,
            Self::Dial(_) | Self::Timeout { .. } => Fault::Unreachable,
            Self::Call { source, .. } if is_tls(source.as_ref()) => Fault::Tls,
            Self::Call { source, .. } => match source.code() {
                Code::PermissionDenied | Code::Unauthenticated => Fault::Unauthorized,
                // A call that took too long, or whose connection broke, is cancelled on our side.
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Fault::Unreachable,
                _ => Fault::Refused,
            },
        }
    }
}

/// The error with everything below it, in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}

/// Whether TLS failed somewhere below `error`. In TLS 1.3 a refused client certificate shows only
/// when the first answer is read, so calls are looked at as well as dials.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<rustls::Error>() {
            return true;
        }
        // An `io::Error` hides what it wraps from `source`, and h2 keeps only kind and text of one.
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && (io.kind() == std::io::ErrorKind::InvalidData
                || io.get_ref().is_some_and(|inner| is_tls(inner)))
        {
            return true;
        }
        next = cause.source();
    }
    false
}

/// etcd says so when an object is not there; the texts are part of its interface.
pub(super) fn is_not_found(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
        && (status.message().ends_with("user name not found")
            || status.message().ends_with("role name not found"))
}

/// etcd says so when an object is there already: somebody was quicker.
pub(super) fn is_already_there(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.message().ends_with("name already exists")
}

/// The users changed between etcd's check of our certificate and the call: asking again is right.
pub(super) fn is_stale_auth(status: &Status) -> bool {
    status.message().ends_with("revision of auth store is old")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: Code) -> Error {
        Error::Call {
            doing: "answer",
            source: Box::new(Status::new(code, "etcdserver: no")),
        }
    }

    #[test]
    fn the_endpoint_that_came_furthest_names_the_fault() {
        let error = Error::NoEndpoint {
            tried: vec![
                ("a:2379".into(), Error::Timeout { seconds: 3 }),
                ("b:2379".into(), call(Code::PermissionDenied)),
            ],
        };
        assert_eq!(error.fault(), Fault::Unauthorized);
        let text = error.to_string();
        assert!(text.contains("a:2379: no answer within 3 s"), "{text}");
        assert!(text.contains("b:2379"), "{text}");
    }

    #[test]
    fn tls_is_seen_through_layers_of_io_errors() {
        let tls = std::io::Error::new(std::io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        let layered = std::io::Error::other(tls);
        assert_eq!(Error::Dial(Box::new(layered)).fault(), Fault::Tls);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Error::Dial(Box::new(refused)).fault(), Fault::Unreachable);
    }

    #[test]
    fn an_answer_of_etcd_is_sorted_by_its_code() {
        assert_eq!(call(Code::Unavailable).fault(), Fault::Unreachable);
        assert_eq!(call(Code::Cancelled).fault(), Fault::Unreachable);
        assert_eq!(call(Code::Unauthenticated).fault(), Fault::Unauthorized);
        assert_eq!(call(Code::ResourceExhausted).fault(), Fault::Refused);
    }
}
