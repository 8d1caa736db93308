//! A session between a scripted server, made of channels, and real endpoints.

use std::convert::Infallible;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use bytes::Bytes;

use super::*;
use crate::agent::dial::Dialer;
use crate::agent::metrics::Metrics;
use crate::drain::{self, Trigger};
use crate::protocol::id::{ConnectId, DialId};
use crate::queue::Outbox;
use crate::register::connection::Peer;

const SOON: Duration = Duration::from_secs(5);

/// The server's end of a running session.
struct Server {
    to_agent: Option<mpsc::Sender<Result<ToAgent, Infallible>>>,
    outbox: Outbox<FromAgent>,
    metrics: Metrics,
    drain: Trigger,
    running: JoinSet<End<Infallible>>,
}

impl Server {
    fn start() -> Self {
        let (to_agent, mut packets) = mpsc::channel(1);
        let (drain, watcher) = drain::channel();
        let metrics = Metrics::new();
        let peer = Arc::new(Peer::new("server-1", "reference"));
        let shared = Shared::new(Arc::new(Dialer::default()), metrics.clone(), peer);
        let outbox = shared.outbox.clone();
        let packets = futures_util::stream::poll_fn(move |context| packets.poll_recv(context));
        let mut running = JoinSet::new();
        running.spawn(Session::new(shared).run(packets, watcher));
        Self {
            to_agent: Some(to_agent),
            outbox,
            metrics,
            drain,
            running,
        }
    }

    async fn send(&self, packet: ToAgent) {
        self.to_agent
            .as_ref()
            .unwrap()
            .send(Ok(packet))
            .await
            .unwrap();
    }

    async fn next(&self) -> FromAgent {
        timeout(SOON, self.outbox.next())
            .await
            .expect("a packet comes soon")
            .unwrap()
    }

    async fn dial(&self, address: &str) -> FromAgent {
        self.dial_as("tcp", address).await;
        self.next().await
    }

    async fn dial_as(&self, protocol: &str, address: &str) {
        let (protocol, address) = (protocol.to_owned(), address.to_owned());
        self.send(ToAgent::Dial {
            dial: DialId(7),
            protocol,
            address,
        })
        .await;
    }

    /// Opens a connection to a new endpoint; gives back both its ends.
    async fn open(&self) -> (ConnectId, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let answer = self.dial(&listener.local_addr().unwrap().to_string()).await;
        let FromAgent::Dialled {
            dial: DialId(7),
            id,
        } = answer
        else {
            panic!("{answer:?}")
        };
        (id, listener.accept().await.unwrap().0)
    }

    async fn data(&self, id: ConnectId, data: impl Into<Bytes>) {
        self.send(ToAgent::Data {
            id,
            data: data.into(),
        })
        .await;
    }

    /// Everything of one connection up to its close: bytes and error text.
    async fn until_closed(&self, connection: ConnectId) -> (Vec<u8>, String) {
        let mut received = Vec::new();
        loop {
            match self.next().await {
                FromAgent::Data { id, data } if id == connection => received.extend(data),
                FromAgent::Closed { id, error } if id == connection => return (received, error),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn end(&mut self) -> End<Infallible> {
        timeout(SOON, self.running.join_next())
            .await
            .expect("it ends")
            .unwrap()
            .unwrap()
    }
}

fn closed(id: ConnectId, error: &str) -> FromAgent {
    FromAgent::Closed {
        id,
        error: error.to_owned(),
    }
}

async fn rest_of(endpoint: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(SOON, endpoint.read_to_end(&mut rest))
        .await
        .expect("it closes")
        .unwrap();
    rest
}

#[tokio::test]
async fn bytes_go_both_ways_until_the_server_closes() {
    let server = Server::start();
    let (id, mut endpoint) = server.open().await;
    assert_eq!((id, server.metrics.open_endpoints.get()), (ConnectId(1), 1));
    server.data(id, "ping").await;
    let mut ping = [0; 4];
    endpoint.read_exact(&mut ping).await.unwrap();
    endpoint.write_all(b"pong").await.unwrap();
    assert_eq!(
        server.next().await,
        FromAgent::Data {
            id,
            data: "pong".into()
        }
    );
    server.send(ToAgent::Close { id }).await;
    assert_eq!(server.next().await, closed(id, ""));
    assert!(rest_of(&mut endpoint).await.is_empty());
    server.send(ToAgent::Close { id }).await;
    assert_eq!(server.next().await, closed(id, "Unknown connectID"));
    let (second, _endpoint) = server.open().await;
    assert_eq!(second, ConnectId(2), "ids are not used again");
}

#[tokio::test]
async fn a_refused_dial_is_answered_in_gos_words() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = format!("dial tcp {address}: connect: connection refused");
    assert_eq!(
        server.dial(&address).await,
        FromAgent::DialFailed {
            dial: DialId(7),
            error
        }
    );
    assert_eq!(
        server
            .metrics
            .dial_failures
            .with_label_values(&["unknown"])
            .get(),
        1
    );
    server.dial_as("unix", "/run/secret.sock").await;
    assert!(matches!(server.next().await, FromAgent::DialFailed { .. }));
}

#[tokio::test]
async fn what_the_endpoint_wrote_comes_before_its_close() {
    let server = Server::start();
    let (id, mut endpoint) = server.open().await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let writing = async {
        endpoint.write_all(&sent).await.unwrap();
        drop(endpoint);
    };
    let ((received, error), ()) = tokio::join!(server.until_closed(id), writing);
    assert!(received == sent && error.is_empty());
}

#[tokio::test]
async fn late_bytes_of_the_server_do_not_cut_off_what_the_endpoint_wrote() {
    let server = Server::start();
    let (id, mut endpoint) = server.open().await;
    let answer = vec![9; 200_000];
    endpoint.write_all(&answer).await.unwrap();
    drop(endpoint);
    let over = async {
        while server.metrics.open_endpoints.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, over).await.expect("it ends by itself");
    for _ in 0..3 {
        server.data(id, "late").await;
    }
    let (received, error) = server.until_closed(id).await;
    assert!(
        received == answer && error.is_empty(),
        "{} bytes, {error:?}",
        received.len()
    );
}

#[tokio::test]
async fn what_the_server_sent_before_its_close_reaches_the_endpoint() {
    let server = Server::start();
    let (id, mut endpoint) = server.open().await;
    let sent = vec![7; 6 * 1024 * 1024];
    for chunk in sent.chunks(32 * 1024) {
        server.data(id, chunk.to_vec()).await;
    }
    server.send(ToAgent::Close { id }).await;
    assert_eq!(
        server.next().await,
        closed(id, ""),
        "the answer does not wait for the endpoint"
    );
    assert!(rest_of(&mut endpoint).await == sent);
}

#[tokio::test]
async fn packets_for_unknown_connections_are_answered_and_id_zero_is_not() {
    let server = Server::start();
    server.data(ConnectId(0), "x").await;
    server.data(ConnectId(9), "x").await;
    assert_eq!(
        server.next().await,
        closed(ConnectId(9), "unrecognized connectID")
    );
    server.send(ToAgent::CancelDial { dial: DialId(1) }).await;
    server.send(ToAgent::Close { id: ConnectId(9) }).await;
    assert_eq!(
        server.next().await,
        closed(ConnectId(9), "Unknown connectID")
    );
}

#[tokio::test]
async fn a_cancelled_dial_ends_at_once_and_without_an_answer() {
    let mut server = Server::start();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    let patience = Duration::from_millis(300);
    while let Ok(Ok(filler)) = timeout(patience, TcpStream::connect(address)).await {
        fillers.push(filler);
    }
    server.dial_as("tcp", &address.to_string()).await;
    server.send(ToAgent::CancelDial { dial: DialId(7) }).await;
    server.drain.start();
    let begun = Instant::now();
    assert!(matches!(server.end().await, End::Drained));
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "the dial did not run its five seconds"
    );
    assert_eq!(server.next().await, FromAgent::Drain);
}

#[tokio::test]
async fn a_stalled_endpoint_is_closed_alone() {
    let server = Server::start();
    let (stalled, _unread) = server.open().await;
    let (lively, mut endpoint) = server.open().await;
    let mut closed_with = None;
    let flood = Bytes::from(vec![0; 1024 * 1024]);
    for round in 0..64 {
        server.data(stalled, flood.clone()).await;
        server.data(lively, "ping").await;
        let mut ping = [0; 4];
        timeout(SOON, endpoint.read_exact(&mut ping))
            .await
            .expect("never held up")
            .unwrap();
        endpoint.write_all(b"pong").await.unwrap();
        loop {
            match server.next().await {
                FromAgent::Data { id, .. } if id == lively => break,
                FromAgent::Closed { id, error } if id == stalled => {
                    closed_with.get_or_insert(error);
                }
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
    let error = closed_with.expect("64 MiB do not fit anywhere");
    assert!(error.starts_with("stalled: "), "{error}");
    assert_eq!(server.metrics.stalled.get(), 1);
    assert_eq!(server.metrics.open_endpoints.get(), 1);
}

#[tokio::test]
async fn an_endpoint_that_is_slow_but_moves_gets_everything() {
    let server = Server::start();
    let (id, mut endpoint) = server.open().await;
    let chunk = Bytes::from(vec![1; 1024 * 1024]);
    let total = 40 * chunk.len();
    let sending = async {
        for _ in 0..40 {
            server.data(id, chunk.clone()).await;
        }
        server.send(ToAgent::Close { id }).await;
        server.next().await
    };
    let reading = async {
        let (mut buffer, mut read) = (vec![0; 256 * 1024], 0);
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        loop {
            pace.tick().await;
            match endpoint.read(&mut buffer).await.unwrap() {
                0 => return read,
                count => read += count,
            }
        }
    };
    let (answer, read) = tokio::join!(sending, reading);
    assert_eq!((answer, read), (closed(id, ""), total));
    assert!(
        server.metrics.waits.get() > 0,
        "the stream waited, and counted it"
    );
    assert_eq!(server.metrics.stalled.get(), 0);
}

#[tokio::test]
async fn a_draining_session_serves_what_is_open_and_ends_when_it_is_empty() {
    let mut server = Server::start();
    let (id, mut endpoint) = server.open().await;
    server.drain.start();
    assert_eq!(server.next().await, FromAgent::Drain);
    let (crossing, _endpoint) = server.open().await;
    server.send(ToAgent::Close { id: crossing }).await;
    assert_eq!(server.next().await, closed(crossing, ""));
    let refused = FromAgent::DialFailed {
        dial: DialId(7),
        error: "agent is draining".to_owned(),
    };
    let refusal = async { while server.dial("127.0.0.1:1").await != refused {} };
    timeout(SOON, refusal)
        .await
        .expect("new dials are refused soon");
    endpoint.write_all(b"still here").await.unwrap();
    assert_eq!(
        server.next().await,
        FromAgent::Data {
            id,
            data: "still here".into()
        }
    );
    drop(endpoint);
    assert_eq!(server.next().await, closed(id, ""));
    assert!(matches!(server.end().await, End::Drained));
}

#[tokio::test]
async fn the_end_of_the_stream_closes_every_endpoint() {
    let mut server = Server::start();
    let (_, mut endpoint) = server.open().await;
    server.to_agent = None;
    assert!(matches!(server.end().await, End::ServerLeft));
    assert_eq!(server.metrics.open_endpoints.get(), 0);
    assert!(rest_of(&mut endpoint).await.is_empty());
}
