//! Holds `grpc.rs` to what it promises.

use std::time::Duration;

use h2::server::Connection;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinSet;

use super::*;
use crate::h2_limits;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromAgent, ToAgent};

type Call = (Request<RecvStream>, SendResponse<Bytes>);

/// A client's call as the server sees it, the client's halves, and what drives both ends.
struct Pair {
    call: Call,
    answer: h2::client::ResponseFuture,
    to_server: PacketWriter,
    _tasks: JoinSet<()>,
}

async fn pair(path: &str) -> Pair {
    let (ours, theirs) = duplex(256 * 1024);
    let builder = h2_limits::server();
    let (client, server) = tokio::join!(
        h2_limits::client().handshake::<_, Bytes>(ours),
        builder.handshake::<_, Bytes>(theirs)
    );
    let ((sender, connection), mut server) = (client.unwrap(), server.unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.unwrap_or_default() });
    let request = Request::post(format!("http://localhost{path}")).header(CONTENT_TYPE, GRPC);
    let mut sender = sender.ready().await.unwrap();
    let (answer, stream) = sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let call = server.accept().await.unwrap().unwrap();
    tasks.spawn(drive(server));
    Pair {
        call,
        answer,
        to_server: PacketWriter::new(stream),
        _tasks: tasks,
    }
}

async fn drive(mut server: Connection<DuplexStream, Bytes>) {
    while let Some(Ok(_)) = server.accept().await {}
}

const CONNECT: &str = "/AgentService/Connect";

fn data(byte: u8, length: usize) -> Bytes {
    vec![byte; length].into()
}

#[tokio::test]
async fn packets_cross_both_ways_and_the_status_comes_last() {
    let Pair {
        call,
        answer,
        mut to_server,
        _tasks,
    } = pair(CONNECT).await;
    let (request, mut respond) = call;
    check(&request, "AgentService", "Connect").unwrap();
    let headers = [
        ("serverid", "s1".to_owned()),
        ("servercount", "2".to_owned()),
    ];
    let mut to_client = PacketWriter::new(accept(&mut respond, &headers).unwrap());
    let (head, body) = answer.await.unwrap().into_parts();
    accepted(head.status, &head.headers).unwrap();
    assert_eq!(head.headers["serverid"], "s1");

    let mut from_client = PacketReader::<FromAgent>::new(request.into_body());
    to_server.send(FromAgent::Drain).await.unwrap();
    assert_eq!(from_client.next().await.unwrap(), Some(FromAgent::Drain));

    let mut from_server = PacketReader::<ToAgent>::new(body);
    let sending = async {
        let dial = ToAgent::Dial {
            dial: DialId(1),
            protocol: "tcp".into(),
            address: "a:1".into(),
        };
        to_client.send(dial).await.unwrap();
        for byte in 0..40 {
            let data = data(byte, 256 * 1024);
            to_client
                .send(ToAgent::Data {
                    id: ConnectId(1),
                    data,
                })
                .await
                .unwrap();
        }
        to_client.finish(&Status::unknown("enough")).unwrap();
    };
    let receiving = async {
        let mut received = Vec::new();
        loop {
            match from_server.next().await {
                Ok(Some(ToAgent::Data { data, .. })) => received.extend_from_slice(&data),
                Ok(Some(_)) => {}
                other => return (received, other),
            }
        }
    };
    let ((), (received, end)) = tokio::join!(sending, receiving);
    assert_eq!(received.len(), 40 * 256 * 1024);
    assert!(
        received
            .chunks(256 * 1024)
            .zip(0..)
            .all(|(part, byte)| part.iter().all(|b| *b == byte))
    );
    assert!(matches!(end, Err(StreamError::Status(status)) if status.message == "enough"));
    to_server.end().unwrap();
    assert_eq!(from_client.next().await.unwrap(), None);
}

#[tokio::test]
async fn refusal_arrives_as_a_status() {
    let Pair {
        call,
        answer,
        to_server: _open,
        _tasks,
    } = pair("/AgentService/Nonsense").await;
    let (request, mut respond) = call;
    let status = check(&request, "AgentService", "Connect").unwrap_err();
    refuse(&mut respond, &status);
    let (head, _body) = answer.await.unwrap().into_parts();
    let error = accepted(head.status, &head.headers).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unimplemented: unknown method Nonsense for service AgentService"
    );
}

#[tokio::test]
async fn writer_waits_for_a_reader_that_pauses_and_says_when_it_moves() {
    let Pair {
        call,
        mut to_server,
        _tasks,
        ..
    } = pair(CONNECT).await;
    let (request, _respond) = call;
    let mut moves = 0;
    let large = FromAgent::Data {
        id: ConnectId(1),
        data: data(1, 6 << 20),
    };
    let paused = tokio::time::timeout(
        Duration::from_millis(200),
        to_server.send_with(large, || moves += 1),
    );
    assert!(paused.await.is_err(), "more than the window");
    assert!(moves > 0);
    to_server.reset(Reason::CANCEL);
    let mut reader = PacketReader::<FromAgent>::new(request.into_body());
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("not an end in order"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.code(),
        "ResourceExhausted",
        "a message above the limit: {error}"
    );
}

#[tokio::test]
async fn reset_by_the_peer_is_seen_by_both_halves() {
    let Pair {
        call,
        mut to_server,
        _tasks,
        ..
    } = pair(CONNECT).await;
    let (request, mut respond) = call;
    let mut to_client = PacketWriter::new(accept(&mut respond, &[]).unwrap());
    to_server.reset(Reason::CANCEL);
    let mut reader = PacketReader::<FromAgent>::new(request.into_body());
    assert_eq!(reader.next().await.unwrap_err().code(), "Canceled");
    assert_eq!(to_client.reset_by_peer().await.code(), "Canceled");
    let late = to_client.send(ToAgent::Close { id: ConnectId(1) });
    assert_eq!(late.await.unwrap_err().code(), "Canceled");
}
