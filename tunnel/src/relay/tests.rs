//! Holds `relay.rs` to what it promises.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, duplex};
use tokio::time::timeout;

use super::*;
use crate::protocol::budget::Limits;
use crate::protocol::id::ConnectId;
use crate::protocol::packet::FromAgent;
use crate::queue::{Outbox, Pool};

fn inbox() -> (Inbox<&'static str>, Pool) {
    let pool = Pool::new(
        64 << 20,
        prometheus::IntGauge::new("waiting", "Bytes.").unwrap(),
    );
    (Inbox::new(Limits::default(), &pool, Instant::now()), pool)
}

#[tokio::test(start_paused = true)]
async fn what_is_written_before_the_end_arrives() {
    let (inbox, pool) = inbox();
    let (mut ours, mut theirs) = duplex(100);
    let data: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for part in data.chunks(777) {
        inbox.push(Bytes::copy_from_slice(part), Instant::now());
    }
    inbox.end("closed", Instant::now());
    let mut received = Vec::new();
    let (end, read) = tokio::join!(write(&mut ours, &inbox), theirs.read_to_end(&mut received));
    read.unwrap();
    assert!(matches!(end, WriteEnd::Done("closed")), "{end:?}");
    assert!(received == data);
    assert_eq!(pool.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn socket_that_stands_still_is_left() {
    let (inbox, _pool) = inbox();
    let (mut ours, _theirs) = duplex(100);
    inbox.push(vec![0; 2 << 20].into(), Instant::now());
    let begun = Instant::now();
    let end = write(&mut ours, &inbox).await;
    assert!(
        matches!(end, WriteEnd::Stopped(Stop::Stalled(_))),
        "{end:?}"
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn socket_is_not_read_while_its_share_waits() {
    let outbox = Outbox::<FromAgent>::default();
    let lane = outbox.lane(ConnectId(1));
    let (mut ours, mut theirs) = duplex(64 * 1024);
    let sent = 1 << 20;
    let writing = async {
        theirs.write_all(&vec![7; sent]).await.unwrap();
        drop(theirs);
    };
    let reading = async {
        let mut received = 0;
        let mut end = std::pin::pin!(read(&mut ours, &lane));
        let stuck = timeout(Duration::from_secs(1), &mut end).await;
        assert!(stuck.is_err(), "nobody sends");
        loop {
            tokio::select! {
                packet = outbox.next() => {
                    let Some(FromAgent::Data { data, .. }) = packet else { panic!("DATA") };
                    received += data.len();
                }
                end = &mut end => {
                    assert!(matches!(end, ReadEnd::Eof), "{end:?}");
                    break;
                }
            }
        }
        while !outbox.is_empty() {
            let Some(FromAgent::Data { data, .. }) = outbox.next().await else {
                panic!("DATA")
            };
            received += data.len();
        }
        received
    };
    assert_eq!(tokio::join!(writing, reading).1, sent);
}

#[tokio::test]
async fn reads_grow_and_shrink_with_what_comes() {
    let mut reads = Reads::up_to(LARGEST);
    let source = vec![1; 1 << 20];
    let mut busy = source.as_slice();
    for _ in 0..10 {
        poll_fn(|cx| reads.poll(Pin::new(&mut busy), cx))
            .await
            .unwrap();
    }
    assert_eq!(reads.size, LARGEST);
    for _ in 0..10 {
        let mut quiet = [1_u8].as_slice();
        let data = poll_fn(|cx| reads.poll(Pin::new(&mut quiet), cx))
            .await
            .unwrap();
        assert_eq!(data.len(), 1);
    }
    assert_eq!(reads.size, SMALLEST);
}
