//! Our server and our agent in the native mode: whole transfers, half-closes, and isolation without anybody's end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::pair_client::Client;
use crate::pair_support::{Endpoint, Mode, Pair, SOON, Wire};

const BOTH: [Mode; 2] = [Mode::Grpc, Mode::HttpConnect];
const LONG: usize = 100 << 20;
/// An echo beside stalled connections; generous, because tests share two cores.
const PROMPT: Duration = Duration::from_secs(4);

const BLOCK: usize = 64 * 1024;

/// The block at this place of a long stream: no two near each other are the same.
fn block(at: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .take(2 * BLOCK)
        .collect()
    });
    let from = at * 7919 % BLOCK;
    &noise[from..from + BLOCK]
}

/// So many bytes of the long stream came, each of them as it was sent.
#[derive(Debug, Default)]
struct Seen(usize);

impl Seen {
    fn next(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = &block(self.0 / BLOCK)[self.0 % BLOCK..];
            let count = expected.len().min(bytes.len());
            assert!(bytes[..count] == expected[..count], "behind {}", self.0);
            bytes = &bytes[count..];
            self.0 += count;
        }
    }
}

#[tokio::test]
async fn hundred_megabytes_arrive_whole_in_each_direction() {
    let pair = Pair::start_on(Mode::HttpConnect, Wire::Native).await;
    let endpoint = Endpoint::serve(|mut socket| async move {
        let mut seen = Seen::default();
        let mut buffer = vec![0; BLOCK];
        loop {
            match socket.read(&mut buffer).await.unwrap() {
                0 => break,
                count => seen.next(&buffer[..count]),
            }
        }
        for at in 0..seen.0 / BLOCK {
            socket.write_all(block(at)).await.unwrap();
        }
    })
    .await;
    let Ok(Client::Connect(mut client)) = pair.dial(&endpoint.address).await else {
        panic!("no connection");
    };
    for at in 0..LONG / BLOCK {
        client.write_all(block(at)).await.unwrap();
    }
    client.shutdown().await.unwrap();
    let mut back = Seen::default();
    let mut buffer = vec![0; BLOCK];
    loop {
        match timeout(SOON, client.read(&mut buffer))
            .await
            .unwrap()
            .unwrap()
        {
            0 => break,
            count => back.next(&buffer[..count]),
        }
    }
    assert_eq!(back.0, LONG);
}

#[tokio::test]
async fn endpoint_that_ends_first_still_hears_all() {
    let pair = Pair::start_on(Mode::HttpConnect, Wire::Native).await;
    let (heard, mut hearing) = tokio::sync::mpsc::channel(1);
    let endpoint = Endpoint::serve(move |mut socket| {
        let heard = heard.clone();
        async move {
            socket.write_all(b"goodbye").await.unwrap();
            socket.shutdown().await.unwrap();
            let mut all = String::new();
            socket.read_to_string(&mut all).await.unwrap();
            heard.send(all).await.unwrap();
        }
    })
    .await;
    let mut client = pair.dial(&endpoint.address).await.unwrap();
    assert_eq!(client.receive_to_end().await, b"goodbye");
    client.send(b"and thank you").await.unwrap();
    client.close().await;
    let all = timeout(SOON, hearing.recv()).await.unwrap();
    assert_eq!(all.as_deref(), Some("and thank you"));
}

/// Warm and fresh echoes, each prompt.
async fn echoes_are_prompt(pair: &Pair, echo: &Endpoint) {
    let mut warm = pair.dial(&echo.address).await.unwrap();
    for _ in 0..30 {
        let begun = Instant::now();
        warm.echo(b"warm").await;
        let mut fresh = pair.dial(&echo.address).await.unwrap();
        fresh.echo(b"fresh").await;
        fresh.close().await;
        let took = begun.elapsed();
        assert!(took < PROMPT, "held up for {took:?}");
    }
}

#[tokio::test]
async fn frontends_that_stop_reading_stop_only_themselves_and_lose_nothing() {
    const LENGTH: usize = 4 << 20;
    for mode in BOTH {
        let pair = Pair::start_on(mode, Wire::Native).await;
        let long = Endpoint::serve(|mut socket| async move {
            for at in 0..LENGTH / BLOCK {
                socket.write_all(block(at)).await.unwrap();
            }
        })
        .await;
        let echo = Endpoint::echo().await;
        let mut stalled = Vec::new();
        for _ in 0..8 {
            let mut client = pair.dial(&long.address).await.unwrap();
            let mut seen = Seen::default();
            seen.next(&client.receive().await);
            stalled.push((client, seen));
        }
        echoes_are_prompt(&pair, &echo).await;
        for (mut client, mut seen) in stalled {
            seen.next(&timeout(SOON, client.receive_to_end()).await.unwrap());
            assert_eq!(seen.0, LENGTH, "{mode:?}");
        }
        assert_eq!(pair.metric("stalled_connections_total").await, Some(0.0));
    }
}

#[tokio::test]
async fn endpoints_that_stop_reading_stop_only_themselves() {
    for mode in BOTH {
        let pair = Arc::new(Pair::start_on(mode, Wire::Native).await);
        let gate = Arc::new(Semaphore::new(0));
        let waiting = Arc::clone(&gate);
        let silent = Endpoint::serve(move |mut socket: TcpStream| {
            let waiting = Arc::clone(&waiting);
            async move {
                let _open = waiting.acquire().await.unwrap();
                let mut all = Vec::new();
                socket.read_to_end(&mut all).await.unwrap();
                assert_eq!(all.len(), 8 << 20);
            }
        })
        .await;
        let echo = Endpoint::echo().await;
        let mut writers = JoinSet::new();
        for _ in 0..8 {
            let mut client = pair.dial(&silent.address).await.unwrap();
            writers.spawn(async move {
                client.send(&vec![0x79; 8 << 20]).await.unwrap();
                client.close().await;
            });
        }
        echoes_are_prompt(&pair, &echo).await;
        assert_eq!(silent.accepted.load(Ordering::Relaxed), 8);
        assert_eq!(writers.len(), 8, "they wait");
        assert!(writers.try_join_next().is_none(), "they wait");
        gate.add_permits(8);
        timeout(3 * SOON, writers.join_all()).await.unwrap();
    }
}

#[tokio::test]
async fn either_end_may_know_only_the_reference() {
    for (server, agent) in [
        (Wire::Reference, Wire::Auto),
        (Wire::Auto, Wire::Reference),
        (Wire::Auto, Wire::Auto),
    ] {
        let pair = Pair::start_as(Mode::HttpConnect, server, agent).await;
        let echo = Endpoint::echo().await;
        let mut client = pair.dial(&echo.address).await.unwrap();
        timeout(SOON, client.echo(b"hello")).await.unwrap();
    }
}
