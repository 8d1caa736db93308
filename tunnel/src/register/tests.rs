//! What is open is listed, whatever came and went before.

use std::time::Duration;

use super::connection::{Direction, LISTED, Open, Peer, Queue};
use super::*;

fn register<T>() -> Register<T> {
    Register::new(IntGauge::new("open", "Open.").unwrap())
}

fn numbers<T>(register: &Register<T>) -> Vec<u64> {
    register.list().iter().map(|(number, _)| *number).collect()
}

#[test]
fn list_and_gauge_are_true_after_churn() {
    let register = register();
    let mut open: Vec<_> = (0..3 * STEP).map(|n| register.enter(n)).collect();
    assert_eq!(
        numbers(&register),
        (1..=3 * STEP as u64).collect::<Vec<_>>()
    );
    for _round in 0..20 {
        open.rotate_left(STEP / 3);
        open.truncate(STEP);
        open.extend((0..STEP).map(|n| register.enter(n)));
        assert_eq!(register.list().len(), 2 * STEP);
        assert_eq!(usize::try_from(register.get()), Ok(2 * STEP));
    }
    let last = open.pop().unwrap();
    drop(open);
    assert_eq!(numbers(&register), [(3 + 20) * STEP as u64]);
    assert_eq!(*last, STEP - 1);
    drop(last);
    assert_eq!((register.list().len(), register.get()), (0, 0));
}

#[test]
fn an_entry_that_is_shared_leaves_with_its_place() {
    let register = register();
    let entered = register.enter("x");
    let shared = entered.share();
    drop(entered);
    assert_eq!((*shared, register.get()), ("x", 0));
    assert!(register.list().is_empty());
}

#[test]
fn what_is_listed_costs_little() {
    let cost = size_of::<Open>() + size_of::<Entered<Open>>();
    assert!(cost <= 160, "{cost} bytes for each connection");
}

struct Waiting;

impl Queue for Waiting {
    fn waiting(&self, direction: Direction) -> usize {
        match direction {
            Direction::ToEndpoint => 10,
            Direction::FromEndpoint => 5000,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_tells_what_passed_what_waits_and_since_when() {
    let register = register();
    let peer = Arc::new(Peer::new("agent-1", "reference"));
    let queue = Arc::new(Waiting);
    let open = register.enter(Open::new(&peer, "10.0.0.1:10250").queued_in(&queue));
    open.holds(Direction::ToEndpoint, 100);
    tokio::time::advance(Duration::from_secs(3)).await;
    open.passed(Direction::ToEndpoint, 60);
    open.holds(Direction::FromEndpoint, 70);
    open.passed_all(Direction::FromEndpoint);
    open.passed_all(Direction::FromEndpoint);
    tokio::time::advance(Duration::from_secs(2)).await;
    let connections = register.describe();
    assert_eq!((connections.open, connections.truncated), (1, 0));
    let line = &connections.listed[0];
    assert_eq!(
        (&*line.peer, &*line.wire, &*line.destination, line.age_ms),
        ("agent-1", "reference", "10.0.0.1:10250", 5000)
    );
    let to = &line.to_endpoint;
    assert_eq!(
        (to.bytes, to.waiting, to.idle_ms, to.stalled_ms),
        (60, 40, 2000, 2000)
    );
    let from = &line.from_endpoint;
    assert_eq!(
        (from.bytes, from.waiting, from.idle_ms, from.stalled_ms),
        (70, 5000, 2000, 0)
    );
    assert_eq!(peer.describe("ready", Vec::new()).connections, 1);
    drop(queue);
    assert_eq!(register.describe().listed[0].from_endpoint.waiting, 0);
    drop(open);
    assert_eq!(peer.describe("ready", Vec::new()).connections, 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_shows_who_stands_still_first_and_counts_the_rest() {
    let register = register();
    let peer = Arc::new(Peer::new("agent-1", "native"));
    let open: Vec<_> = (0..LISTED + 50)
        .map(|n| register.enter(Open::new(&peer, &format!("node{n}:1"))))
        .collect();
    open[LISTED + 7].holds(Direction::FromEndpoint, 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    open[LISTED + 3].holds(Direction::ToEndpoint, 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    let connections = register.describe();
    assert_eq!(
        (
            connections.open,
            connections.truncated,
            connections.listed.len()
        ),
        (LISTED + 50, 50, LISTED)
    );
    let first: Vec<&str> = connections.listed[..3]
        .iter()
        .map(|line| &*line.destination)
        .collect();
    assert_eq!(first, ["node1007:1", "node1003:1", "node0:1"]);
}
