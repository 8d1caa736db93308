//! What an agent does on one stream: dials, closes, stalls, nonsense.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromAgent, ToAgent};

use crate::agent_support::{Place, SOON, closed};

#[tokio::test]
async fn agent_answers_dial_for_refused_port_with_gos_error() {
    let place = Place::new().await;
    let _agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = format!("dial tcp {address}: connect: connection refused");
    assert_eq!(
        server.dial(&address).await,
        FromAgent::DialFailed {
            dial: DialId(5),
            error
        }
    );
}

#[tokio::test]
async fn bytes_arrive_whole_and_before_the_close_in_both_directions() {
    let place = Place::new().await;
    let _agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let (id, mut endpoint) = server.open().await;
    let bytes: Vec<u8> = (0..5_000_000_u32)
        .map(|n| n.wrapping_mul(31).to_le_bytes()[1])
        .collect();
    let expected = bytes.clone();
    let reader = async {
        let mut read = vec![0; expected.len()];
        timeout(SOON, endpoint.read_exact(&mut read))
            .await
            .expect("all comes")
            .unwrap();
        assert!(read == expected, "the endpoint got other bytes");
        endpoint.write_all(&read).await.unwrap();
        drop(endpoint);
    };
    let writer = async {
        for chunk in bytes.chunks(100_000) {
            server.data(id, Bytes::copy_from_slice(chunk)).await;
        }
        server.until_closed(id).await
    };
    let (received, ()) = tokio::join!(writer, reader);
    assert!(received.0 == expected && received.1.is_empty());
    server.send(ToAgent::Close { id }).await;
    assert_eq!(server.next().await, closed(id, "Unknown connectID"));
}

#[tokio::test]
async fn a_close_is_answered_at_once_and_what_came_before_it_is_written() {
    let place = Place::new().await;
    let _agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let (id, mut endpoint) = server.open().await;
    let sent = vec![3; 6 * 1024 * 1024];
    for chunk in sent.chunks(64 * 1024) {
        server.data(id, Bytes::copy_from_slice(chunk)).await;
    }
    server.send(ToAgent::Close { id }).await;
    assert_eq!(
        server.next().await,
        closed(id, ""),
        "before the endpoint read a byte"
    );
    let mut read = Vec::new();
    timeout(SOON, endpoint.read_to_end(&mut read))
        .await
        .expect("it ends")
        .unwrap();
    assert!(read == sent);
}

#[tokio::test]
async fn a_stalled_endpoint_is_closed_alone_while_others_go_on() {
    let place = Place::new().await;
    let agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let (stalled, _unread) = server.open().await;
    let (lively, mut endpoint) = server.open().await;
    let flood = Bytes::from(vec![0; 512 * 1024]);
    let mut reason = None;
    for _ in 0..100 {
        server.data(stalled, flood.clone()).await;
        server.data(lively, "ping").await;
        let mut ping = [0; 4];
        timeout(SOON, endpoint.read_exact(&mut ping))
            .await
            .expect("not held up")
            .unwrap();
        endpoint.write_all(b"pong").await.unwrap();
        loop {
            match server.next().await {
                FromAgent::Data { id, .. } if id == lively => break,
                FromAgent::Closed { id, error } if id == stalled => {
                    reason.get_or_insert(error);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let reason = reason.expect("50 MiB do not fit anywhere");
    assert!(reason.starts_with("stalled: "), "{reason}");
    assert_eq!(
        (
            agent.metrics.stalled.get(),
            agent.metrics.open_endpoints.get()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn unknown_types_are_ignored_and_nonsense_ends_the_stream_alone() {
    let place = Place::new().await;
    let _agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    server.send_message(&[0x08, 0x63]).await;
    server
        .send(ToAgent::Data {
            id: ConnectId(4),
            data: Bytes::from_static(b"x"),
        })
        .await;
    assert_eq!(
        server.next().await,
        closed(ConnectId(4), "unrecognized connectID")
    );
    server.send_message(&[0xff; 16]).await;
    server.gone().await;
    let mut server = place.accept("a", "1").await;
    server
        .send_bytes(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]))
        .await;
    server.gone().await;
    let mut server = place.accept("a", "1").await;
    server.open().await;
}

#[tokio::test]
async fn two_hundred_connections_leave_nothing_behind() {
    let place = Place::new().await;
    let agent = place.agent(&[]);
    let mut server = place.accept("a", "1").await;
    let (id, endpoint) = server.open().await;
    drop(endpoint);
    assert_eq!(server.next().await, closed(id, ""));
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(server.open().await);
    }
    assert_eq!(agent.metrics.open_endpoints.get(), 200);
    for (id, endpoint) in open {
        drop(endpoint);
        assert_eq!(server.next().await, closed(id, ""));
    }
    // The tasks end right behind their last packet.
    let (last, _endpoint) = server.open().await;
    assert_eq!(last, ConnectId(202));
    let settled = async {
        while agent.metrics.open_endpoints.get() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, settled)
        .await
        .expect("every connection is over");
}
