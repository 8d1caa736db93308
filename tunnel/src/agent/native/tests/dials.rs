//! Dials of a native server and what they are answered.

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::support::*;
use crate::agent::session::End;
use crate::protocol::native::control::Control;

#[tokio::test]
async fn an_open_port_is_connected_and_counted() {
    let mut server = Server::start().await;
    let (mut tunnel, _endpoint) = server.open().await;
    assert_eq!(server.door.metrics.open_endpoints.get(), 1);
    assert_eq!(server.door.metrics.dial_duration.get_sample_count(), 1);
    assert_eq!(server.door.packets("DIAL_REQ", "to_agent"), 1);
    assert_eq!(server.door.packets("DIAL_RSP", "from_agent"), 1);
    tunnel.to.0.send_reset(h2::Reason::CANCEL);
    let closed = async {
        while server.door.metrics.open_endpoints.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, closed).await.expect("a reset closes it");
}

#[tokio::test]
async fn a_refused_dial_is_answered_in_gos_words() {
    let mut server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let text = format!("dial tcp {address}: connect: connection refused");
    assert_eq!(server.dial(&address).await.err(), Some((502, text)));
    let failures = &server.door.metrics.dial_failures;
    assert_eq!(failures.with_label_values(&["unknown"]).get(), 1);
    let (status, text) = server.dial("no-such-host.invalid:80").await.err().unwrap();
    assert_eq!(status, 502);
    assert!(
        text.starts_with("dial tcp: lookup no-such-host.invalid: "),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_no_destination_is_answered_as_such() {
    let mut server = Server::start().await;
    let (status, text) = server.dial("node1").await.err().unwrap();
    assert_eq!(status, 400);
    assert_eq!(text, "dial tcp: address node1: missing port in address");
    let request = http::Request::get("https://agent/metrics")
        .body(())
        .unwrap();
    let (answer, sending) = server.door.ask(request).await;
    let (status, text) = answered(answer.await.unwrap(), sending).err().unwrap();
    assert_eq!(
        (status, text.as_str()),
        (400, "GET is no dial; use CONNECT")
    );
}

/// A listener whose queue is full: the kernel drops further SYNs, as a black hole does.
async fn black_hole() -> (TcpListener, Vec<TcpStream>, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    let patience = std::time::Duration::from_millis(300);
    while let Ok(Ok(filler)) = timeout(patience, TcpStream::connect(address)).await {
        fillers.push(filler);
    }
    (listener, fillers, address.to_string())
}

#[tokio::test]
async fn a_dial_ends_when_the_server_wants_an_answer() {
    let mut server = Server::start().await;
    let (_listener, _fillers, address) = black_hole().await;
    let begun = Instant::now();
    let (answer, sending) = server.connect(&address, 200).await;
    let failed = answered(answer.await.unwrap(), sending).err().unwrap();
    assert_eq!(failed, (504, format!("dial tcp {address}: i/o timeout")));
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    let failures = &server.door.metrics.dial_failures;
    assert_eq!(failures.with_label_values(&["timeout"]).get(), 1);
}

#[tokio::test]
async fn a_cancelled_dial_ends_at_once() {
    let mut server = Server::start().await;
    let (_listener, _fillers, address) = black_hole().await;
    let begun = Instant::now();
    let (answer, mut sending) = server.connect(&address, 5000).await;
    while server.door.packets("DIAL_REQ", "to_agent") == 0 {
        tokio::task::yield_now().await;
    }
    sending.send_reset(h2::Reason::CANCEL);
    drop((answer, sending));
    server.door.drain.start();
    assert!(matches!(server.door.ended().await, Ok(End::Drained)));
    assert!(
        begun.elapsed().as_secs() < 4,
        "the dial did not run its five seconds"
    );
    assert_eq!(server.door.packets("DIAL_CLS", "to_agent"), 1);
    assert_eq!(server.door.packets("DIAL_RSP", "from_agent"), 0);
}

#[tokio::test]
async fn dials_cancelled_in_a_burst_do_not_end_the_connection() {
    let mut server = Server::start().await;
    let (_listener, _fillers, address) = black_hole().await;
    for _ in 0..500 {
        let (_answer, mut sending) = server.connect(&address, 5000).await;
        sending.send_reset(h2::Reason::CANCEL);
    }
    let (mut tunnel, _endpoint) = server.open().await;
    tunnel.to.end();
}

#[tokio::test]
async fn an_agent_without_room_says_so_and_has_room_again() {
    let room = 1;
    let mut server = Server::shaped(Shape {
        room,
        ..Shape::default()
    })
    .await;
    let (mut first, endpoint) = server.open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = "agent has no room for more connections".to_owned();
    assert_eq!(server.dial(&address).await.err(), Some((503, text)));
    first.to.end();
    drop(endpoint);
    first.from.rest().await;
    let again = async { while server.dial(&address).await.is_err() {} };
    timeout(SOON, again).await.expect("room is given back");
}

#[tokio::test]
async fn nothing_is_dialled_before_the_agent_is_admitted() {
    let mut server = Door::open().await.greet().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (mut answer, sending) = server.connect(&address, 5000).await;
    let patience = std::time::Duration::from_millis(200);
    assert!(timeout(patience, &mut answer).await.is_err());
    assert_eq!(server.door.packets("DIAL_REQ", "to_agent"), 0);
    server.say(Control::Admitted);
    let answer = timeout(SOON, answer).await.expect("an answer").unwrap();
    assert!(answered(answer, sending).is_ok());
}
