//! The way to the servers through an HTTP proxy, when `HTTPS_PROXY` names one and `NO_PROXY` does
//! not exempt the server; both may be written small. In: a socket to the proxy. Out: the same socket, now to the server.

use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

/// A proxy's answer must fit in this.
const MAX_ANSWER: usize = 8 * 1024;

/// An HTTP proxy that forwards TCP by CONNECT.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    credentials: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// Why the proxy leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The socket broke.
    #[error("the proxy hung up")]
    Io(#[from] io::Error),
    /// The answer has no end.
    #[error("the proxy's answer is longer than {MAX_ANSWER} bytes")]
    Endless,
    /// The proxy will not.
    #[error("the proxy answered CONNECT {target} with {answer:?}")]
    Refused {
        /// Where it was asked to connect.
        target: String,
        /// Its status line.
        answer: String,
    },
}

impl Proxy {
    /// The proxy for a server, if there is one: `url` as in `HTTPS_PROXY`, `exempt` as in `NO_PROXY`.
    pub fn towards(host: &str, port: u16, url: &str, exempt: &str) -> Result<Option<Self>, String> {
        if url.is_empty() || is_exempt(host, port, exempt) {
            return Ok(None);
        }
        let whole = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let refused = |why: &str| format!("--https-proxy={url}: {why}; give http://HOST:PORT");
        let parsed = Url::parse(&whole).map_err(|error| refused(&error.to_string()))?;
        if parsed.scheme() != "http" {
            return Err(refused("only proxies that speak plain HTTP are known"));
        }
        let proxy = parsed
            .host_str()
            .ok_or_else(|| refused("there is no host"))?;
        let credentials = (!parsed.username().is_empty()).then(|| {
            let pair = format!(
                "{}:{}",
                parsed.username(),
                parsed.password().unwrap_or_default()
            );
            BASE64_STANDARD.encode(pair)
        });
        Ok(Some(Self {
            host: proxy.trim_matches(['[', ']']).to_owned(),
            port: parsed.port_or_known_default().unwrap_or(80),
            credentials,
        }))
    }

    /// Asks the proxy at the other end of `socket` to connect to the server.
    pub async fn connect(
        &self,
        socket: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), ProxyError> {
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let credentials = self.credentials.as_ref().map_or_else(String::new, |pair| {
            format!("Proxy-Authorization: Basic {pair}\r\n")
        });
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
        socket.write_all(request.as_bytes()).await?;
        // Byte by byte: what follows the blank line already belongs to the server.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER {
                return Err(ProxyError::Endless);
            }
            answer.push(socket.read_u8().await?);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.lines().next().unwrap_or_default();
        match status.split_whitespace().nth(1) {
            Some("200") => Ok(()),
            _ => Err(ProxyError::Refused {
                target,
                answer: status.to_owned(),
            }),
        }
    }
}

/// This machine is always exempt; an entry is `*`, an address, a network, or a domain with all
/// below it, each but the last two with an optional port.
fn is_exempt(host: &str, port: u16, exempt: &str) -> bool {
    let ip: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    exempt
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            if let (Ok(network), Some(ip)) = (entry.parse::<IpNet>(), ip) {
                return network.contains(&ip);
            }
            let name = match entry.rsplit_once(':') {
                Some((name, digits)) if !name.contains(':') => {
                    if digits.parse() != Ok(port) {
                        return false;
                    }
                    name
                }
                _ => entry,
            };
            let domain = name.trim_start_matches("*.").trim_start_matches('.');
            name == "*"
                || host == domain
                || host
                    .strip_suffix(domain)
                    .is_some_and(|rest| ip.is_none() && rest.ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn exemptions_read_as_in_go() {
        for (host, exempt, expected) in [
            ("10.0.0.1", "", false),
            ("localhost", "", true),
            ("127.0.0.1", "", true),
            ("10.0.0.1", "10.0.0.0/8", true),
            ("10.0.0.1", "11.0.0.0/8, 10.0.0.1", true),
            ("k8s.example.com", "example.com", true),
            ("k8s.example.com", ".example.com:8132", true),
            ("k8s.example.com", "example.com:443", false),
            ("badexample.com", "example.com", false),
            ("a.b", "*", true),
        ] {
            assert_eq!(is_exempt(host, 8132, exempt), expected, "{host} {exempt}");
        }
    }

    #[test]
    fn a_proxy_is_named_by_its_url() {
        let proxy = |url| Proxy::towards("10.0.0.1", 8132, url, "");
        assert_eq!(proxy(""), Ok(None));
        let found = proxy("proxy.corp:3128").unwrap().unwrap();
        assert_eq!((found.host.as_str(), found.port), ("proxy.corp", 3128));
        let secret = proxy("http://me:pass@[::1]:3128/").unwrap().unwrap();
        assert_eq!(secret.credentials.as_deref(), Some("bWU6cGFzcw=="));
        assert!(!format!("{secret:?}").contains("pass"));
        assert!(
            proxy("socks5://x:1")
                .unwrap_err()
                .contains("--https-proxy=socks5://x:1")
        );
    }

    async fn answered(answer: &'static [u8]) -> (Result<(), ProxyError>, String, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Proxy::towards("10.0.0.1", 1, "http://x", "")
            .unwrap()
            .unwrap();
        let served = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(answer).await.unwrap();
            let mut request = vec![0; 256];
            let read = socket.read(&mut request).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        };
        let asked = async {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let result = proxy.connect(&mut socket, "10.0.0.1", 8132).await;
            (result, socket)
        };
        let (request, (result, socket)) = tokio::join!(served, asked);
        (result, request, socket)
    }

    #[tokio::test]
    async fn a_tunnel_starts_right_behind_the_answer() {
        let (result, request, mut socket) =
            answered(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nserver").await;
        result.unwrap();
        assert!(request.starts_with("CONNECT 10.0.0.1:8132 HTTP/1.1\r\nHost: 10.0.0.1:8132\r\n"));
        let mut rest = String::new();
        socket.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "server");
    }

    #[tokio::test]
    async fn a_refusal_is_quoted() {
        let (result, _, _) = answered(b"HTTP/1.1 407 Auth Needed\r\n\r\n").await;
        let text = result.unwrap_err().to_string();
        assert!(text.contains("407 Auth Needed"), "{text}");
    }
}
