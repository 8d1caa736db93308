//! Real sockets; the texts are Go's, letter by letter.

use tokio::net::{TcpListener, TcpSocket};

use super::*;

async fn failure(protocol: &str, address: &str) -> DialFailure {
    Dialer::default().dial(protocol, address).await.unwrap_err()
}

#[tokio::test]
async fn an_open_port_gives_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = Dialer::default()
        .dial("tcp", &address.to_string())
        .await
        .unwrap();
    assert_eq!(socket.peer_addr().unwrap(), address);
    let by_name = format!("localhost:{}", address.port());
    Dialer::default().dial("tcp", &by_name).await.unwrap();
}

#[tokio::test]
async fn a_refused_port_reads_as_in_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failure = failure("tcp", &address.to_string()).await;
    assert_eq!(
        failure.to_string(),
        format!("dial tcp {address}: connect: connection refused")
    );
    assert_eq!(failure.reason(), "unknown");
}

#[tokio::test]
async fn a_silent_address_ends_after_five_seconds() {
    let (_listener, _fillers, address) = full_backlog().await;
    let begun = Instant::now();
    let failure = failure("tcp", &address.to_string()).await;
    assert_eq!(
        failure.to_string(),
        format!("dial tcp {address}: i/o timeout")
    );
    assert_eq!(failure.reason(), "timeout");
    let took = begun.elapsed();
    assert!(
        took >= DIAL_DEADLINE && took < DIAL_DEADLINE + Duration::from_secs(1),
        "{took:?}"
    );
}

/// A listener whose queue is full: the kernel drops further SYNs, as a black hole does.
async fn full_backlog() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(Ok(filler)) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        fillers.push(filler);
    }
    (listener, fillers, address)
}

#[tokio::test]
async fn a_slow_address_does_not_keep_the_next_one_waiting() {
    let (_listener, _fillers, silent) = full_backlog().await;
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = open.local_addr().unwrap();
    let begun = Instant::now();
    let socket = race(vec![silent, address]).await.unwrap();
    assert_eq!(socket.peer_addr().unwrap(), address);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn only_tcp_is_dialled() {
    for protocol in ["udp", "unix", "tcp4", ""] {
        let text = failure(protocol, "127.0.0.1:1").await.to_string();
        assert!(
            text.starts_with(&format!("dial {protocol}: unknown network")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn addresses_that_are_none_say_why() {
    for (address, reason) in [
        ("10.0.0.1", "missing port in address"),
        ("::1:80", "too many colons in address"),
        ("[::1:80", "missing ']' in address"),
        ("10.0.0.1:70000", "invalid port"),
        ("10.0.0.1:http", "invalid port"),
        (":80", "missing host in address"),
    ] {
        let text = failure("tcp", address).await.to_string();
        assert_eq!(text, format!("dial tcp: address {address}: {reason}"));
    }
}

#[test]
fn resolver_errors_read_as_in_go() {
    let text = |message: &str| {
        let source = io::Error::other(message.to_owned());
        DialFailure::Lookup {
            host: "foo".to_owned(),
            source,
        }
        .to_string()
    };
    let unknown = "failed to lookup address information: Name or service not known";
    assert_eq!(text(unknown), "dial tcp: lookup foo: no such host");
    let broken = "failed to lookup address information: Temporary failure in name resolution";
    assert_eq!(text(broken), "dial tcp: lookup foo: server misbehaving");
}

#[test]
fn errors_of_the_system_read_as_in_go() {
    let address: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let text = |errno| {
        DialFailure::Connect {
            address,
            source: io::Error::from_raw_os_error(errno),
        }
        .to_string()
    };
    assert_eq!(text(113), "dial tcp 10.0.0.1:80: connect: no route to host");
    assert_eq!(
        text(101),
        "dial tcp 10.0.0.1:80: connect: network is unreachable"
    );
    assert_eq!(
        text(24),
        "dial tcp 10.0.0.1:80: socket: too many open files"
    );
}
