//! The door of servers: who comes in, what is said there, and how a relay ends.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel::protocol::destination::Destination;
use tunnel::protocol::native::dial::DialRequest;
use tunnel::protocol::peer::{self, Decoder, PeerHello};
use tunnel::{h2_limits, tls};

use crate::native_support::NativeAgent;
use crate::peers_support::{RELAYED, two};
use crate::server_support::{House, soon};

/// A connection to the door of servers that shows this certificate.
async fn knock(house: &House, name: Option<&str>) -> std::io::Result<TlsStream<TcpStream>> {
    let pair = |name| {
        let file = |end| house.file(&format!("{name}.{end}"));
        (file("crt"), file("key"))
    };
    let identity = name.map(pair);
    let alpn = [String::from_utf8_lossy(peer::ALPN).into_owned()];
    let ca = house.file("ca.crt");
    let config = tls::client_config(&ca, identity.as_ref(), &alpn).expect("TLS");
    let address = house.peers.expect("it has siblings");
    let socket = TcpStream::connect(address).await.expect("it listens");
    let name = peer::NAME.try_into().expect("a legal name");
    TlsConnector::from(config).connect(name, socket).await
}

#[tokio::test]
async fn only_servers_come_in_by_the_door_of_servers() {
    let (first, _second) = two().await;
    // TLS 1.3 tells a client that it is refused only after its own handshake is over.
    let mut nobody = knock(&first, None).await.expect("half a handshake");
    let mut byte = [0];
    let refused = soon("an answer", nobody.read(&mut byte)).await;
    let refused = refused.expect_err("no stranger").to_string();
    assert!(refused.contains("CertificateRequired"), "{refused}");
    // A certificate of the same authority that names somebody else.
    let mut other = knock(&first, Some("somebody")).await.expect("a handshake");
    let ended = soon("an answer", other.read(&mut byte)).await;
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
}

/// Another server whose every word the test decides.
async fn scripted(house: &House) -> (SendRequest<Bytes>, JoinSet<()>) {
    let socket = knock(house, Some("tls")).await.expect("a handshake");
    let handshake = h2_limits::peer_client().handshake::<_, Bytes>(socket).await;
    let (sender, connection) = handshake.expect("HTTP/2");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    (sender.ready().await.expect("it lives"), tasks)
}

#[tokio::test]
async fn servers_say_nothing_while_nothing_changes() {
    let (first, _second) = two().await;
    let (mut sender, _tasks) = scripted(&first).await;
    let hello = PeerHello {
        server_id: "scripted".to_owned(),
        port: None,
    };
    let request = hello.request().expect("legal");
    let (answer, _no_body) = sender.send_request(request, true).expect("it lives");
    let mut body = answer.await.expect("an answer").into_body();
    let mut decoder = Decoder::default();
    // Every word is news, however much the two servers tell each other meanwhile.
    let mut agents = Vec::new();
    for name in ["a", "b", "c"] {
        agents.push(NativeAgent::enter(&first, name).await);
        let word = loop {
            if let Some(word) = decoder.next_word().expect("legal") {
                break word;
            }
            let piece = soon("a word", body.data())
                .await
                .expect("more")
                .expect("it lives");
            decoder.push(&piece);
        };
        let came: Vec<&str> = word.came.iter().map(|it| it.agent.as_str()).collect();
        assert_eq!(came, [name]);
        assert!(word.left.is_empty() && !word.is_draining);
    }
}

#[tokio::test]
async fn relay_that_stands_still_half_closed_ends_when_it_is_given_up() {
    let (first, _second) = two().await;
    let mut agent = NativeAgent::enter(&first, "a").await;
    let (mut sender, _tasks) = scripted(&first).await;
    let dial = DialRequest {
        destination: Destination::tcp("10.0.0.7:10250").expect("legal"),
        timeout: Duration::from_secs(5),
    };
    let request = dial.request().expect("legal");
    let (answer, mut sending) = sender.send_request(request, false).expect("it lives");
    let mut opened = agent.opens().await;
    assert_eq!(answer.await.expect("an answer").status(), StatusCode::OK);
    opened
        .sending
        .send_data(Bytes::new(), true)
        .expect("it lives");
    let flood = Bytes::from(vec![b'x'; 4 << 20]);
    sending.send_data(flood, false).expect("it lives");
    soon("the agent's window to be full", async {
        let mut tick = interval(Duration::from_millis(10));
        while opened.receiving.flow_control().used_capacity() < 256 * 1024 {
            tick.tick().await;
        }
    })
    .await;
    sending.send_reset(Reason::CANCEL);
    first.metric_becomes(RELAYED, 0.0).await;
}
