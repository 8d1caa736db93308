//! Looking inside both programs while connections come and go between them, on both wires and for both frontends.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tunnel::status::document::{Connection, Program, Status};

use crate::pair_support::{Endpoint, Mode, Pair, Wire};

const ALL: [(Mode, Wire, &str); 4] = [
    (Mode::Grpc, Wire::Reference, "reference"),
    (Mode::HttpConnect, Wire::Reference, "reference"),
    (Mode::Grpc, Wire::Native, "native"),
    (Mode::HttpConnect, Wire::Native, "native"),
];
const BOTH: [Program; 2] = [Program::Server, Program::Agent];

/// Writes for ever.
async fn flood(mut socket: TcpStream) {
    let block = vec![0x79; 64 * 1024];
    while socket.write_all(&block).await.is_ok() {}
}

fn to<'a>(status: &'a Status, address: &str) -> Option<&'a Connection> {
    let mut listed = status.connections.listed.iter();
    listed.find(|connection| connection.destination == address)
}

#[tokio::test]
async fn what_is_open_is_listed_and_after_churn_nothing_is() {
    for (mode, wire, name) in ALL {
        let pair = Pair::start_on(mode, wire).await;
        let (echo, other) = (Endpoint::echo().await, Endpoint::echo().await);
        let mut first = pair.dial(&echo.address).await.unwrap();
        first.echo(b"hello").await;
        let mut open = Vec::new();
        for _ in 0..50 {
            open.push(pair.dial(&other.address).await.unwrap());
        }
        for program in BOTH {
            let status = pair
                .until_status(program, |status| {
                    status.connections.open == 51
                        && to(status, &echo.address)
                            .is_some_and(|line| line.from_endpoint.bytes == 5)
                })
                .await;
            let line = to(&status, &echo.address).unwrap();
            let (peer, peers) = match program {
                Program::Server => ("agent-1", &status.agents),
                Program::Agent => ("server-1", &status.servers),
            };
            assert_eq!((&*line.peer, &*line.wire, line.number), (peer, name, 1));
            assert_eq!((line.to_endpoint.bytes, line.to_endpoint.waiting), (5, 0));
            assert_eq!(
                (line.to_endpoint.stalled_ms, line.from_endpoint.stalled_ms),
                (0, 0)
            );
            assert_eq!(peers.len(), 1, "{peers:?}");
            assert_eq!(
                (&*peers[0].name, &*peers[0].wire, peers[0].connections),
                (peer, name, 51)
            );
            assert_eq!(
                (status.program, status.known_servers, status.draining),
                (program, 1, false)
            );
        }
        for client in open {
            client.close().await;
        }
        for _ in 0..50 {
            let mut client = pair.dial(&other.address).await.unwrap();
            client.echo(b"x").await;
            client.close().await;
        }
        first.echo(b"still there").await;
        drop(first);
        for program in BOTH {
            let is_empty = |status: &Status| status.connections.open == 0;
            let status = pair.until_status(program, is_empty).await;
            let peers = [status.agents, status.servers].concat();
            assert_eq!((peers.len(), peers[0].connections), (1, 0));
            assert_eq!(status.connections.listed, []);
        }
        assert_eq!(pair.metric("established_connections").await, Some(0.0));
    }
}

#[tokio::test]
async fn who_stands_still_is_seen_with_what_waits() {
    for (mode, wire, _) in ALL {
        let pair = Pair::start_on(mode, wire).await;
        let (yes, echo) = (Endpoint::serve(flood).await, Endpoint::echo().await);
        let mut beside = pair.dial(&echo.address).await.unwrap();
        let mut stalled = pair.dial(&yes.address).await.unwrap();
        assert!(!stalled.receive().await.is_empty());
        let is_seen = |status: &Status| {
            let line = to(status, &yes.address);
            line.is_some_and(|line| {
                let from = &line.from_endpoint;
                from.bytes > 0 && from.waiting >= 64 * 1024 && from.stalled_ms >= 200
            })
        };
        let status = pair.until_status(Program::Server, is_seen).await;
        assert_eq!(
            status.connections.listed[0].destination, yes.address,
            "who stands still comes first"
        );
        if wire == Wire::Native {
            // The window of this connection is full, so its agent waits too; nobody closes it.
            let is_held = |status: &Status| {
                to(status, &yes.address).is_some_and(|line| line.from_endpoint.stalled_ms >= 200)
            };
            pair.until_status(Program::Agent, is_held).await;
        }
        beside.echo(b"beside").await;
    }
}
