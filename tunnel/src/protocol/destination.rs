//! What an agent dials: `host:port`, parsed once where it enters.
//!
//! Only TCP: the reference hands any network name to Go's dialler, `unix` and `udp` included; no
//! kube-apiserver asks for these, so nothing here can.

use std::fmt;

/// A TCP endpoint by name or address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    address: String,
    host: String,
    port: u16,
}

/// Why an address is none. The texts are those of Go's `net` package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// There is no port.
    #[error("address {0}: missing port in address")]
    MissingPort(String),
    /// An IPv6 address without brackets, most likely.
    #[error("address {0}: too many colons in address")]
    TooManyColons(String),
    /// The port is no number below 65536.
    #[error("address {0}: invalid port")]
    InvalidPort(String),
    /// There is no host, or it has characters that no host has.
    #[error("address {0}: invalid host")]
    InvalidHost(String),
}

impl Destination {
    /// Parses `host:port`, with brackets around an IPv6 address.
    pub fn tcp(address: &str) -> Result<Self, DestinationError> {
        let owned = || address.to_owned();
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(DestinationError::MissingPort(owned()));
        };
        let host = match host.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err(DestinationError::MissingPort(owned())),
            None if host.contains(':') => return Err(DestinationError::TooManyColons(owned())),
            None => host,
        };
        let is_legal = |byte: u8| byte.is_ascii_graphic() && !b"[]/?#@\\".contains(&byte);
        if host.is_empty() || host.len() > 255 || !host.bytes().all(is_legal) {
            return Err(DestinationError::InvalidHost(owned()));
        }
        let port = match port.parse() {
            Ok(port) if !port_is_odd(address) => port,
            _ => return Err(DestinationError::InvalidPort(owned())),
        };
        Ok(Self {
            address: owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// Name or address without brackets: what identifiers of agents are compared with.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// `+80` is a number for Rust and no port for anybody.
fn port_is_odd(address: &str) -> bool {
    address
        .rsplit_once(":+")
        .is_some_and(|(_, rest)| !rest.contains(':'))
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_parsed() {
        for (address, host, port) in [
            ("node1:10250", "node1", 10250),
            ("10.0.0.1:443", "10.0.0.1", 443),
            ("[::1]:8080", "::1", 8080),
            ("svc.ns.svc:80", "svc.ns.svc", 80),
        ] {
            let destination = Destination::tcp(address).unwrap();
            assert_eq!((destination.host(), destination.port()), (host, port));
            assert_eq!(destination.to_string(), address);
        }
    }

    #[test]
    fn nonsense_is_refused_with_gos_words() {
        for (address, text) in [
            ("node1", "address node1: missing port in address"),
            ("::1:80", "address ::1:80: too many colons in address"),
            ("[::1:80", "address [::1:80: missing port in address"),
            ("a:http", "address a:http: invalid port"),
            ("a:+80", "address a:+80: invalid port"),
            ("a:70000", "address a:70000: invalid port"),
            (":80", "address :80: invalid host"),
            ("a b:80", "address a b:80: invalid host"),
            ("a/../b:80", "address a/../b:80: invalid host"),
        ] {
            assert_eq!(Destination::tcp(address).unwrap_err().to_string(), text);
        }
    }
}
