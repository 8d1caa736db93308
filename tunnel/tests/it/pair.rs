//! Server and agent together: dials, refusals, closes that lose nothing, and no trace left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::pair_support::{Endpoint, Mode, Pair, SOON, Wire, free_port};

/// Both frontends with both wires.
const EACH: [(Mode, Wire); 4] = [
    (Mode::Grpc, Wire::Reference),
    (Mode::HttpConnect, Wire::Reference),
    (Mode::Grpc, Wire::Native),
    (Mode::HttpConnect, Wire::Native),
];

/// Bytes that no two transfers share, and whose order shows.
fn bytes(seed: usize, length: usize) -> Vec<u8> {
    let mut state = u64::try_from(seed)
        .unwrap()
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

#[tokio::test]
async fn words_come_back() {
    for (mode, wire) in EACH {
        let (pair, echo) = (Pair::start_on(mode, wire).await, Endpoint::echo().await);
        let mut client = pair.dial(&echo.address).await.unwrap();
        for word in [b"hello".as_slice(), &bytes(1, 300_000), b"x"] {
            timeout(SOON, client.echo(word)).await.unwrap();
        }
        client.close().await;
    }
}

#[tokio::test]
async fn two_hundred_connections_at_once_do_not_mix() {
    for (mode, wire) in EACH {
        let (pair, echo) = (
            Arc::new(Pair::start_on(mode, wire).await),
            Endpoint::echo().await,
        );
        let mut clients = JoinSet::new();
        for seed in 0..200 {
            let (pair, address) = (Arc::clone(&pair), echo.address.clone());
            clients.spawn(async move {
                let mut client = pair.dial(&address).await.unwrap();
                client.echo(&bytes(seed, 5_000)).await;
                client.close().await;
            });
        }
        timeout(3 * SOON, clients.join_all()).await.unwrap();
    }
}

#[tokio::test]
async fn refused_dial_says_so() {
    for (mode, wire) in EACH {
        let pair = Pair::start_on(mode, wire).await;
        let address = format!("127.0.0.1:{}", free_port().await);
        let error = pair.dial(&address).await.err().unwrap();
        let expected = format!("dial tcp {address}: connect: connection refused");
        match mode {
            Mode::Grpc => assert_eq!(error, expected),
            Mode::HttpConnect => {
                assert_eq!(
                    error.trim_end(),
                    format!("HTTP/1.1 502 Bad Gateway: {expected} {expected}")
                );
            }
        }
    }
}

#[tokio::test]
async fn endpoint_that_writes_and_closes_is_heard_to_the_end() {
    for (mode, wire) in EACH {
        let pair = Arc::new(Pair::start_on(mode, wire).await);
        let endpoint = Endpoint::serve(|mut socket| async move {
            let mut request = [0; 16];
            socket.read_exact(&mut request).await.unwrap();
            let [seed, length] = numbers(request);
            socket.write_all(&bytes(seed, length)).await.unwrap();
            socket.shutdown().await.unwrap();
        })
        .await;
        transfers(|seed| {
            let (pair, address) = (Arc::clone(&pair), endpoint.address.clone());
            async move {
                let length = seed * 7919 % 400_000;
                let mut client = pair.dial(&address).await.unwrap();
                client.send(&request(seed, length)).await.unwrap();
                let received = client.receive_to_end().await;
                assert!(
                    received == bytes(seed, length),
                    "transfer {seed}: {}",
                    received.len()
                );
            }
        })
        .await;
    }
}

#[tokio::test]
async fn client_that_writes_and_closes_is_heard_to_the_end() {
    for (mode, wire) in EACH {
        let pair = Arc::new(Pair::start_on(mode, wire).await);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hearing = Arc::clone(&heard);
        let endpoint = Endpoint::serve(move |mut socket| {
            let hearing = Arc::clone(&hearing);
            async move {
                let mut all = Vec::new();
                socket.read_to_end(&mut all).await.unwrap();
                hearing.lock().unwrap().push(all);
            }
        })
        .await;
        transfers(|seed| {
            let (pair, address) = (Arc::clone(&pair), endpoint.address.clone());
            async move {
                let mut client = pair.dial(&address).await.unwrap();
                client
                    .send(&bytes(seed, seed * 7919 % 400_000 + 1))
                    .await
                    .unwrap();
                client.close().await;
            }
        })
        .await;
        let all_heard = async {
            while heard.lock().unwrap().len() < 200 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, all_heard)
            .await
            .expect("every endpoint sees the end");
        let mut heard = std::mem::take(&mut *heard.lock().unwrap());
        heard.sort();
        let mut sent: Vec<_> = (0..200)
            .map(|seed| bytes(seed, seed * 7919 % 400_000 + 1))
            .collect();
        sent.sort();
        assert!(heard == sent);
    }
}

/// 200 transfers, some of them at the same time.
async fn transfers<F: Future<Output = ()> + Send + 'static>(transfer: impl Fn(usize) -> F) {
    for round in 0..10 {
        let mut running = JoinSet::new();
        for seed in round * 20..(round + 1) * 20 {
            running.spawn(transfer(seed));
        }
        timeout(2 * SOON, running.join_all()).await.unwrap();
    }
}

fn request(seed: usize, length: usize) -> Vec<u8> {
    [seed, length]
        .into_iter()
        .flat_map(|n| u64::try_from(n).unwrap().to_be_bytes())
        .collect()
}

fn numbers(request: [u8; 16]) -> [usize; 2] {
    let number = |at: usize| u64::from_be_bytes(request[at..at + 8].try_into().unwrap());
    [number(0), number(8)].map(|n| usize::try_from(n).unwrap())
}

/// A refused dial, one that is dropped, one that is closed, or one that carries bytes.
async fn one_of_four(client: usize, round: usize, pair: Arc<Pair>, [refused, echo]: [String; 2]) {
    match client % 4 {
        0 => drop(pair.dial(&refused).await.err().unwrap()),
        1 => drop(pair.dial(&echo).await.unwrap()),
        2 => pair.dial(&echo).await.unwrap().close().await,
        _ => {
            let mut client = pair.dial(&echo).await.unwrap();
            client.echo(&bytes(round, 50_000)).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_connections_that_are_over() {
    for (mode, wire) in EACH {
        let (pair, echo) = (
            Arc::new(Pair::start_on(mode, wire).await),
            Endpoint::echo().await,
        );
        pair.dial(&echo.address).await.unwrap().close().await;
        pair.until_metric("established_connections", |open| open == 0.0)
            .await;
        // Some of the first connection may still be among them: what leaks would be a hundred.
        let before = alive_tasks();
        let refused = format!("127.0.0.1:{}", free_port().await);
        for round in 0..5 {
            let mut clients = JoinSet::new();
            for client in 0..20 {
                let (pair, echo, refused) =
                    (Arc::clone(&pair), echo.address.clone(), refused.clone());
                clients.spawn(one_of_four(client, round, pair, [refused, echo]));
            }
            timeout(2 * SOON, clients.join_all()).await.unwrap();
        }
        pair.until_metric("established_connections", |open| open == 0.0)
            .await;
        pair.until_metric("pending_backend_dials", |dials| dials == 0.0)
            .await;
        pair.until_metric("queued_bytes", |bytes| bytes == 0.0)
            .await;
        let back = async {
            while alive_tasks() > before {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, back)
            .await
            .unwrap_or_else(|_| panic!("{} tasks, not {before}", alive_tasks()));
    }
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
