//! Opens the TCP connection a server asked for, within five seconds.
//!
//! In: protocol and `host:port` as kube-apiserver wrote them. Out: a socket, or a [`DialFailure`]
//! whose text is what Go's `net` package would have said, because kube-apiserver's logs, dashboards
//! and the server's choice of HTTP status read that text. Dropping the future gives the dial up.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use crate::fault::Fault;
use crate::protocol::native::dial::{Refusal, RefusalKind};

/// The reference's limit for a dial in all.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(5);
/// An address that is silent this long gets company by the next one (RFC 8305, Go's default).
const STAGGER: Duration = Duration::from_millis(300);
/// Go's default distance of TCP keepalive probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes the kernel may hold unsent. With much more an endpoint that reads slowly would take nothing for seconds, then
/// a megabyte at once, and look as if it stood still.
const UNSENT: u32 = 128 * 1024;
/// Names looked up at once; each takes a thread of the runtime's pool.
const LOOKUPS: usize = 64;

/// Why there is no socket. Displays as Go would have it.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    /// Something else than TCP was asked for.
    #[error("dial {0}: unknown network {0}: this agent dials only tcp")]
    Protocol(String),
    /// The address is not `host:port`.
    #[error("dial tcp: address {address}: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name cannot be resolved.
    #[error("dial tcp: lookup {host}: {}", lookup_text(.source))]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The time is over.
    #[error("dial tcp {0}: i/o timeout")]
    Timeout(String),
    /// The connection was refused or failed.
    #[error("dial tcp {address}: {call}: {}", errno_text(.source), call = call(.source))]
    Connect {
        /// The resolved address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl DialFailure {
    /// The `reason` label of `endpoint_dial_failure_total`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => "timeout",
            _ => "unknown",
        }
    }

    /// A server that asks for what nobody dials, or an agent that ran out of descriptors: all else is the endpoint's.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Protocol(_) | Self::Address { .. } => Fault::Server,
            Self::Connect { source, .. } if call(source) == "socket" => Fault::Agent,
            Self::Lookup { .. } | Self::Connect { .. } | Self::Timeout(_) => Fault::Endpoint,
        }
    }

    /// What a server of the native mode is told. Running out of descriptors is this agent's own
    /// failure: another one may do better.
    pub fn refusal(&self) -> Refusal {
        let kind = match self {
            Self::Protocol(_) | Self::Address { .. } => RefusalKind::BadDestination,
            Self::Connect { source, .. } if call(source) == "socket" => RefusalKind::Unavailable,
            _ if self.reason() == "timeout" => RefusalKind::Timeout,
            Self::Lookup { .. } | Self::Connect { .. } | Self::Timeout(_) => RefusalKind::Failed,
        };
        Refusal::new(kind, self.to_string())
    }
}

/// Dials; one per agent, so that all dials share its limit of name lookups.
#[derive(Debug)]
pub struct Dialer {
    lookups: Semaphore,
}

impl Default for Dialer {
    fn default() -> Self {
        Self {
            lookups: Semaphore::new(LOOKUPS),
        }
    }
}

impl Dialer {
    /// Opens a connection, by all addresses of the name, before `DIAL_DEADLINE` is over.
    pub async fn dial(&self, protocol: &str, address: &str) -> Result<TcpStream, DialFailure> {
        if protocol != "tcp" {
            return Err(DialFailure::Protocol(protocol.to_owned()));
        }
        self.dial_within(address, DIAL_DEADLINE).await
    }

    /// Opens a TCP connection like [`Dialer::dial`], within `limit` but never later than that does.
    pub async fn dial_within(
        &self,
        address: &str,
        limit: Duration,
    ) -> Result<TcpStream, DialFailure> {
        let (host, port) = split(address)?;
        let deadline = Instant::now() + limit.min(DIAL_DEADLINE);
        let resolved = timeout_at(deadline, self.resolve(host, port)).await;
        let addresses =
            resolved.map_err(|_elapsed| DialFailure::Timeout(format!("lookup {host}")))??;
        let first = addresses
            .first()
            .map_or_else(|| address.to_owned(), ToString::to_string);
        timeout_at(deadline, race(addresses))
            .await
            .map_err(|_elapsed| DialFailure::Timeout(first))?
    }

    /// All addresses of a name, in the resolver's order.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialFailure> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let failed = |source| DialFailure::Lookup {
            host: host.to_owned(),
            source,
        };
        let _permit = self.lookups.acquire().await;
        let addresses: Vec<_> = lookup_host((host, port)).await.map_err(failed)?.collect();
        if addresses.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        Ok(addresses)
    }
}

/// Connects to the first address that answers; the next one joins in when one fails or is slow.
/// With none left, the first failure is the answer, as in Go.
pub async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, DialFailure> {
    let mut waiting = addresses.into_iter();
    let mut running: FuturesUnordered<_> = waiting.next().map(connect).into_iter().collect();
    let mut first_failure = None;
    loop {
        let more = waiting.len() > 0;
        tokio::select! {
            Some(ended) = running.next() => match ended {
                Ok(socket) => return Ok(socket),
                Err(failure) => {
                    first_failure.get_or_insert(failure);
                    running.extend(waiting.next().map(connect));
                }
            },
            () = sleep(STAGGER), if more => running.extend(waiting.next().map(connect)),
            else => break,
        }
    }
    Err(first_failure.unwrap_or_else(|| DialFailure::Timeout("no address".to_owned())))
}

/// One attempt at one address.
pub async fn connect(address: SocketAddr) -> Result<TcpStream, DialFailure> {
    let failed = |source| DialFailure::Connect { address, source };
    let socket = TcpStream::connect(address).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let options = SockRef::from(&socket);
    options.set_tcp_keepalive(&keepalive).map_err(failed)?;
    options.set_tcp_notsent_lowat(UNSENT).map_err(failed)?;
    Ok(socket)
}

/// Splits as Go's `SplitHostPort` does.
fn split(address: &str) -> Result<(&str, u16), DialFailure> {
    let wrong = |reason| DialFailure::Address {
        address: address.to_owned(),
        reason,
    };
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| wrong("missing port in address"))?;
    let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(Some(bracketed)) => bracketed,
        Some(None) => return Err(wrong("missing ']' in address")),
        None if host.contains(':') => return Err(wrong("too many colons in address")),
        None => host,
    };
    let port = port
        .parse()
        .map_err(|_not_a_port: std::num::ParseIntError| wrong("invalid port"))?;
    // Go dials this machine when the host is empty; nobody means that here.
    if host.is_empty() {
        Err(wrong("missing host in address"))
    } else {
        Ok((host, port))
    }
}

/// glibc's answers as Go words them.
fn lookup_text(error: &io::Error) -> &'static str {
    let text = error.to_string();
    if text.contains("Temporary failure") {
        "server misbehaving"
    } else {
        "no such host"
    }
}

/// `strerror` as Go words it: without number, in lower case.
fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(text, _)| text);
    let mut letters = text.chars();
    letters
        .next()
        .into_iter()
        .flat_map(char::to_lowercase)
        .chain(letters)
        .collect()
}

/// The system call that failed; only running out of descriptors happens before `connect`.
fn call(error: &io::Error) -> &'static str {
    if errno_text(error).starts_with("too many open files") {
        "socket"
    } else {
        "connect"
    }
}

#[cfg(test)]
mod tests;
