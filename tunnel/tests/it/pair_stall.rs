//! One that stands still stops nobody else on the reference's wire: frontends and endpoints, both modes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::pair_support::{Endpoint, Mode, Pair, SOON, Wire};

const BOTH: [Mode; 2] = [Mode::Grpc, Mode::HttpConnect];
/// An echo beside a stalled connection; generous, because tests share two cores.
const PROMPT: Duration = Duration::from_secs(4);

/// Writes for ever.
async fn flood(mut socket: TcpStream) {
    let block = vec![0x79; 64 * 1024];
    while socket.write_all(&block).await.is_ok() {}
}

/// Never reads.
async fn deaf(socket: TcpStream) {
    let _held = socket;
    sleep(Duration::from_hours(1)).await;
}

/// Echoes on a connection that stands, and on fresh ones, for as long as `until` takes.
async fn echoes_beside(pair: &Pair, echo: &Endpoint, until: impl Future<Output = ()>) -> usize {
    let mut warm = pair.dial(&echo.address).await.unwrap();
    let mut echoes = 0;
    let beside = async {
        loop {
            let begun = Instant::now();
            warm.echo(b"warm").await;
            let mut fresh = pair.dial(&echo.address).await.unwrap();
            fresh.echo(b"fresh").await;
            fresh.close().await;
            assert!(
                begun.elapsed() < PROMPT,
                "held up for {:?}",
                begun.elapsed()
            );
            echoes += 1;
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = beside => unreachable!("it goes on for ever"),
        ended = timeout(2 * SOON, until) => ended.expect("the stalled one is closed"),
    }
    echoes
}

#[tokio::test]
async fn frontends_that_stop_reading_are_closed_alone() {
    for mode in BOTH {
        let pair = Pair::start_on(mode, Wire::Reference).await;
        let (yes, echo) = (Endpoint::serve(flood).await, Endpoint::echo().await);
        let mut stalled = Vec::new();
        for _ in 0..3 {
            let mut client = pair.dial(&yes.address).await.unwrap();
            assert!(!client.receive().await.is_empty());
            stalled.push(client);
        }
        let closed = pair.until_metric("stalled_connections_total", |closed| closed >= 3.0);
        let echoes = echoes_beside(&pair, &echo, closed).await;
        assert!(echoes > 0, "no echo beside");
        assert_eq!(
            pair.metric("stalled_connections_total").await,
            Some(3.0),
            "and nobody else"
        );
        for mut client in stalled {
            timeout(SOON, client.receive_to_end())
                .await
                .expect("it ends");
        }
    }
}

#[tokio::test]
async fn endpoints_that_stop_reading_are_closed_alone() {
    for mode in BOTH {
        let pair = Arc::new(Pair::start_on(mode, Wire::Reference).await);
        let (silent, echo) = (Endpoint::serve(deaf).await, Endpoint::echo().await);
        let mut writers = JoinSet::new();
        for _ in 0..3 {
            let mut client = pair.dial(&silent.address).await.unwrap();
            writers.spawn(async move {
                let block = vec![0x79; 64 * 1024];
                client.send_for_ever(&block).await;
                client
            });
        }
        let closed = async { while writers.join_next().await.is_some() {} };
        let echoes = echoes_beside(&pair, &echo, closed).await;
        assert!(echoes > 0, "no echo beside");
        assert_eq!(silent.accepted.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test]
async fn frontend_that_reads_slowly_is_not_closed_and_loses_nothing() {
    const LENGTH: usize = 24 << 20;
    for mode in BOTH {
        let pair = Pair::start_on(mode, Wire::Reference).await;
        let endpoint = Endpoint::serve(|mut socket| async move {
            for at in 0..LENGTH / 65_536 {
                let block = vec![u8::try_from(at % 251).unwrap(); 65_536];
                socket.write_all(&block).await.unwrap();
            }
        })
        .await;
        let mut client = pair.dial(&endpoint.address).await.unwrap();
        let mut received = 0;
        let begun = Instant::now();
        loop {
            let data = timeout(SOON, client.receive()).await.unwrap();
            if data.is_empty() {
                break;
            }
            for (at, byte) in data.iter().enumerate() {
                let expected = u8::try_from((received + at) / 65_536 % 251).unwrap();
                assert_eq!(*byte, expected, "at {}", received + at);
            }
            received += data.len();
            if begun.elapsed() < Duration::from_secs(4) {
                sleep(Duration::from_millis(10)).await;
            }
        }
        assert_eq!(received, LENGTH);
        assert_eq!(pair.metric("stalled_connections_total").await, Some(0.0));
        let waits = pair.metric("shared_stream_waits_total").await;
        assert!(waits > Some(0.0), "its stream waited for it: {waits:?}");
    }
}
