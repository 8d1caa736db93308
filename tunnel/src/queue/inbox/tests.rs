//! Holds `inbox.rs` to what it promises.

use tokio::time::{advance, timeout};

use super::*;

const MIB: usize = 1 << 20;

fn pool(size: usize) -> Pool {
    Pool::new(
        size,
        prometheus::IntGauge::new("waiting", "Bytes.").unwrap(),
    )
}

fn inbox() -> (Inbox<&'static str>, Pool) {
    let pool = pool(64 * MIB);
    (Inbox::new(Limits::default(), &pool, Instant::now()), pool)
}

fn block(bytes: usize) -> Bytes {
    vec![0; bytes].into()
}

/// After how long the taker is told to stop, if within the hour.
async fn stops_after(inbox: &Inbox<&'static str>) -> Option<(Duration, Stop<&'static str>)> {
    let begun = Instant::now();
    let stop = timeout(Duration::from_hours(1), inbox.stop()).await.ok()?;
    Some((begun.elapsed(), stop))
}

#[tokio::test(start_paused = true)]
async fn watch_follows_the_rules() {
    for (bytes, expected) in [
        (MIB - 1, None),
        (2 * MIB, Some(2_000)),
        (9 * MIB, Some(500)),
    ] {
        let (inbox, _pool) = inbox();
        inbox.push(block(bytes), Instant::now());
        let after = stops_after(&inbox).await.map(|(after, _)| after);
        assert_eq!(after, expected.map(Duration::from_millis), "{bytes} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_moves_is_never_stopped() {
    let (inbox, _pool) = inbox();
    inbox.push(block(10 * MIB), Instant::now());
    for _ in 0..100 {
        assert!(
            timeout(Duration::from_millis(499), inbox.stop())
                .await
                .is_err()
        );
        inbox.taken(1, Instant::now());
    }
}

#[tokio::test(start_paused = true)]
async fn shared_stream_waits_for_one_that_moves_and_not_for_one_that_stands() {
    let (inbox, _pool) = inbox();
    assert_eq!(inbox.push(block(5 * MIB), Instant::now()), Pushed::Watched);
    assert_eq!(inbox.push(block(4 * MIB), Instant::now()), Pushed::Full);
    let begun = Instant::now();
    inbox.room().await;
    assert_eq!(begun.elapsed(), crate::protocol::budget::HOLD, "it stands");
    assert_eq!(
        inbox.push(block(1), Instant::now()),
        Pushed::Watched,
        "nobody waits for it"
    );
    for _ in 0..20 {
        inbox.taken(1000, Instant::now());
        assert_eq!(
            inbox.push(block(1), Instant::now()),
            Pushed::Full,
            "it moves"
        );
        assert!(
            timeout(Duration::from_millis(20), inbox.room())
                .await
                .is_err()
        );
    }
    inbox.taken(2 * MIB, Instant::now());
    inbox.room().await;
}

#[tokio::test(start_paused = true)]
async fn crowded_process_waits_even_for_one_that_stands() {
    let (pool, now) = (pool(3 * MIB), Instant::now());
    let one = Inbox::<&str>::new(Limits::default(), &pool, now);
    let other = Inbox::<&str>::new(Limits::default(), &pool, now);
    assert_eq!(one.push(block(2 * MIB), now), Pushed::Watched);
    assert_eq!(other.push(block(MIB), now), Pushed::Full);
    assert!(timeout(Duration::from_secs(1), other.room()).await.is_err());
    one.cut("stalled", Instant::now());
    other.room().await;
    drop(other);
    assert_eq!(pool.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn ended_one_gives_what_waits_and_a_cut_one_does_not() {
    let (inbox, pool) = inbox();
    inbox.push(Bytes::from_static(b"tail"), Instant::now());
    inbox.end("closed", Instant::now());
    inbox.end("lost", Instant::now());
    assert_eq!(inbox.push(block(1), Instant::now()), Pushed::Ended);
    assert_eq!(inbox.next().await, Ok(Bytes::from_static(b"tail")));
    let stopped = stops_after(&inbox).await.map(|(after, _)| after);
    assert_eq!(stopped, Some(END_PATIENCE), "handed out is not taken");
    inbox.taken(4, Instant::now());
    assert_eq!(inbox.next().await, Err("closed"));
    assert_eq!(pool.waiting(), 0);

    inbox.cut("late", Instant::now());
    let (inbox, pool) = self::inbox();
    inbox.push(block(100), Instant::now());
    assert_eq!(inbox.next().await, Ok(block(100)));
    inbox.push(block(100), Instant::now());
    inbox.cut("stalled", Instant::now());
    inbox.taken(100, Instant::now());
    assert_eq!(inbox.next().await, Err("stalled"));
    assert_eq!(inbox.stop().await, Stop::Cut("stalled"));
    assert_eq!(pool.waiting(), 0);
    advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn keystrokes_are_joined_and_keep_no_large_buffer_alive() {
    let (inbox, pool) = inbox();
    let large = block(64 * 1024);
    for at in 0..10_000 {
        inbox.push(large.slice(at..=at), Instant::now());
    }
    let mut taken = 0;
    let mut chunks = 0;
    while pool.waiting() > 0 {
        let chunk = inbox.next().await.unwrap();
        inbox.taken(chunk.len(), Instant::now());
        taken += chunk.len();
        chunks += 1;
    }
    assert_eq!((taken, chunks), (10_000, 2));
}
