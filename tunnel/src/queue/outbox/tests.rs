//! Holds `outbox.rs` to what it promises.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::protocol::packet::FromAgent;

const MOMENT: Duration = Duration::from_millis(1);

fn closed(id: i64) -> FromAgent {
    FromAgent::Closed {
        id: ConnectId(id),
        error: String::new(),
    }
}

fn size(packet: &FromAgent) -> (i64, usize) {
    match packet {
        FromAgent::Data { id, data } => (id.0, data.len()),
        FromAgent::Closed { id, .. } => (id.0, 0),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_transfer_puts_one_turn_in_front_of_a_keystroke() {
    let outbox = Outbox::<FromAgent>::default();
    let (bulk, keys) = (outbox.lane(ConnectId(1)), outbox.lane(ConnectId(2)));
    for _ in 0..4 {
        bulk.send(vec![0; 64 * 1024].into()).await.unwrap();
    }
    assert!(
        timeout(MOMENT, bulk.send(vec![0; 1].into())).await.is_err(),
        "its share waits"
    );
    assert_eq!(
        size(&outbox.next().await.unwrap()),
        (1, ALONE),
        "nobody else is there"
    );
    keys.send(Bytes::from_static(b"k")).await.unwrap();
    outbox.control(closed(9));
    let sizes = async { size(&outbox.next().await.unwrap()) };
    assert_eq!(sizes.await, (9, 0), "control first");
    assert_eq!(size(&outbox.next().await.unwrap()), (1, QUANTUM));
    assert_eq!(size(&outbox.next().await.unwrap()), (2, 1));
    bulk.send(vec![0; 1].into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn last_word_goes_behind_the_data_and_nothing_behind_it() {
    let outbox = Outbox::<FromAgent>::default();
    let lane = outbox.lane(ConnectId(1));
    lane.send(Bytes::from_static(b"tail")).await.unwrap();
    lane.finish(closed(1)).unwrap();
    assert_eq!(lane.send(Bytes::from_static(b"late")).await, Err(Gone));
    drop(lane);
    assert_eq!(size(&outbox.next().await.unwrap()), (1, 4));
    assert_eq!(outbox.next().await.unwrap(), closed(1));
    assert!(outbox.is_empty());
    assert!(timeout(MOMENT, outbox.next()).await.is_err());
    assert!(outbox.waiting().lanes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn aborted_lane_loses_its_data_and_says_its_last_word_once() {
    let outbox = Outbox::<FromAgent>::default();
    let lane = outbox.lane(ConnectId(1));
    lane.send(vec![0; LANE].into()).await.unwrap();
    let waiting = async { lane.send(vec![0; 1].into()).await };
    let aborting = async { lane.abort(Some(closed(1))) };
    assert_eq!(tokio::join!(waiting, aborting).0, Err(Gone));
    lane.abort(Some(closed(1)));
    assert_eq!(lane.finish(closed(1)), Err(Gone));
    assert_eq!(outbox.next().await.unwrap(), closed(1));
    assert!(outbox.is_empty());
}

#[tokio::test(start_paused = true)]
async fn closed_outbox_sends_what_waits_and_a_cut_one_does_not() {
    let outbox = Outbox::<FromAgent>::default();
    let lane = outbox.lane(ConnectId(1));
    lane.send(Bytes::from_static(b"tail")).await.unwrap();
    outbox.close();
    assert_eq!(lane.send(Bytes::from_static(b"late")).await, Err(Gone));
    assert_eq!(size(&outbox.next().await.unwrap()), (1, 4));
    assert_eq!(outbox.next().await, None);

    let outbox = Outbox::<FromAgent>::default();
    let lane = outbox.lane(ConnectId(1));
    lane.send(vec![0; LANE].into()).await.unwrap();
    let cutting = async { outbox.cut() };
    assert_eq!(
        tokio::join!(lane.send(vec![0; 1].into()), cutting).0,
        Err(Gone)
    );
    outbox.control(closed(1));
    assert_eq!(outbox.next().await, None);
}

#[tokio::test]
async fn storm_of_replies_is_bounded_and_control_still_passes() {
    let outbox = Outbox::<FromAgent>::default();
    assert_eq!(
        (0..2 * REPLIES).filter(|_| outbox.reply(closed(0))).count(),
        REPLIES
    );
    outbox.control(closed(7));
    outbox.close();
    let mut sent = Vec::new();
    while let Some(packet) = outbox.next().await {
        sent.push(packet);
    }
    assert_eq!((sent.len(), sent.last()), (REPLIES + 1, Some(&closed(7))));
}

proptest! {
    #[test]
    fn every_lane_keeps_its_bytes_in_order_and_gets_its_share(
        sends in prop::collection::vec((0_u64..4, 1_usize..60_000), 1..40)
    ) {
        let outbox = Outbox::<FromAgent>::default();
        let lanes: Vec<_> = (0..4).map(|id| outbox.lane(ConnectId(id))).collect();
        let mut expected = vec![Vec::new(); 4];
        for (at, (lane, bytes)) in (0_u8..).zip(sends) {
            let at_lane = usize::try_from(lane).unwrap();
            let sent = futures_util::FutureExt::now_or_never(
                lanes[at_lane].send(vec![at; bytes].into())
            );
            if sent.is_some() {
                expected[at_lane].extend(vec![at; bytes]);
            }
        }
        lanes.iter().zip(0..).for_each(|(lane, id)| lane.finish(closed(id)).unwrap());
        outbox.close();
        let mut received = vec![Vec::new(); 4];
        let mut last_words = 0;
        while let Some(packet) = futures_util::FutureExt::now_or_never(outbox.next()).flatten() {
            match packet {
                FromAgent::Data { id, data } => {
                    prop_assert!(data.len() <= ALONE);
                    received[usize::try_from(id.0).unwrap()].extend_from_slice(&data);
                }
                _ => last_words += 1,
            }
        }
        prop_assert_eq!(received, expected);
        prop_assert_eq!(last_words, 4);
    }
}
