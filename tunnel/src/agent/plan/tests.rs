//! The plan, event by event.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn plan(source: CountSource, when_complete: WhenComplete) -> (Plan, Instant) {
    let now = Instant::now();
    let pace = Pace {
        interval: SECOND,
        cap: 10 * SECOND,
        when_complete,
    };
    (Plan::new(source, pace, now), now)
}

fn resting() -> (Plan, Instant) {
    plan(CountSource::Default, WhenComplete::Rest)
}

fn keep(plan: &mut Plan, server: &str, count: usize, now: Instant) -> SessionKey {
    match plan.opened(server, count, now, 0.0) {
        Verdict::Keep(key) => key,
        Verdict::Duplicate => panic!("{server} is new"),
    }
}

#[test]
fn the_plan_looks_until_it_holds_as_many_servers_as_there_are() {
    let (mut plan, now) = resting();
    assert_eq!(plan.next_try(), Some(now));
    keep(&mut plan, "a", 3, now);
    assert_eq!(
        (plan.known(), plan.next_try()),
        (3, Some(now)),
        "the next one at once"
    );
    keep(&mut plan, "b", 3, now);
    keep(&mut plan, "c", 3, now);
    assert_eq!(plan.next_try(), None);
}

#[test]
fn duplicates_are_closed_and_make_the_plan_patient() {
    let (mut plan, now) = resting();
    keep(&mut plan, "a", 2, now);
    let mut delays = Vec::new();
    for _ in 0..7 {
        assert_eq!(plan.opened("a", 2, now, 0.0), Verdict::Duplicate);
        delays.push((plan.next_try().unwrap() - now).as_secs_f64());
    }
    assert_eq!(delays[..4], [1.0, 1.5, 2.25, 3.375]);
    assert_eq!(delays.last(), Some(&10.0));
    assert_eq!(plan.held(), 1);
}

#[test]
fn a_late_end_of_an_old_stream_leaves_its_successor_alone() {
    let (mut plan, now) = resting();
    let old = keep(&mut plan, "a", 1, now);
    plan.ended("a", old, 60 * SECOND, (now, 0.0));
    let new = keep(&mut plan, "a", 1, now);
    plan.ended("a", old, 60 * SECOND, (now, 0.0));
    assert_eq!((plan.held(), plan.next_try()), (1, None));
    plan.ended("a", new, 60 * SECOND, (now, 0.0));
    assert_eq!(plan.held(), 0);
}

#[test]
fn failures_and_streams_that_die_at_once_back_off() {
    let (mut plan, now) = resting();
    assert_eq!(plan.failed(now, 0.0), SECOND);
    assert_eq!(plan.failed(now, 0.0), 3 * SECOND / 2);
    let key = keep(&mut plan, "a", 1, now);
    plan.ended("a", key, SECOND / 2, (now, 0.0));
    assert_eq!(
        plan.next_try(),
        Some(now + 9 * SECOND / 4),
        "still backing off"
    );
    let key = keep(&mut plan, "a", 1, now);
    plan.ended("a", key, 5 * SECOND, (now, 0.5));
    assert_eq!(
        plan.next_try(),
        Some(now + SECOND / 2),
        "a lost server is missed soon"
    );
    assert_eq!(
        plan.failed(now, 0.0),
        SECOND,
        "and the failures are forgotten"
    );
}

#[test]
fn leases_count_once_they_are_known() {
    let (mut plan, now) = resting();
    keep(&mut plan, "a", 1, now);
    assert_eq!(plan.next_try(), None);
    plan.leased(Some(2), now);
    assert_eq!(plan.known(), 2);
    assert!(plan.next_try().is_some_and(|at| at <= now + SECOND));
    plan.leased(Some(0), now);
    assert_eq!(plan.known(), 1, "never less than one");
}

#[test]
fn the_larger_count_holds_when_asked_for() {
    let (mut plan, now) = plan(CountSource::Max, WhenComplete::Rest);
    keep(&mut plan, "a", 3, now);
    plan.leased(Some(2), now);
    assert_eq!(plan.known(), 3);
    plan.leased(Some(4), now);
    assert_eq!(plan.known(), 4);
}

#[test]
fn a_plan_that_never_rests_looks_once_an_interval() {
    let (mut plan, now) = plan(CountSource::Default, WhenComplete::KeepLooking);
    keep(&mut plan, "a", 1, now);
    assert_eq!(plan.next_try(), Some(now + SECOND));
}

#[test]
fn a_changed_report_is_acted_on_soon() {
    let (mut plan, now) = resting();
    keep(&mut plan, "a", 1, now);
    assert_eq!(plan.next_try(), None);
    plan.reported(3, now + SECOND);
    assert_eq!(plan.known(), 3);
    assert!(plan.next_try().is_some_and(|at| at <= now + 2 * SECOND));
    plan.reported(0, now + SECOND);
    assert_eq!((plan.known(), plan.next_try()), (1, None));
}

#[test]
fn a_leaving_server_is_replaced_before_it_goes() {
    let (mut plan, now) = resting();
    let key = keep(&mut plan, "a", 1, now);
    plan.leaving(key, now, 0.5);
    assert_eq!((plan.held(), plan.next_try()), (0, Some(now + SECOND / 2)));
    assert_eq!(plan.opened("a", 1, now, 0.0), Verdict::Duplicate);
    keep(&mut plan, "b", 1, now);
    plan.ended("a", key, 60 * SECOND, (now, 0.0));
    assert_eq!((plan.held(), plan.next_try()), (1, None));
    plan.leaving(key, now, 0.5);
    assert_eq!(plan.held(), 1, "an old stream takes nobody off the list");
}

#[test]
fn end_of_a_leaving_server_lets_its_successor_be_found_soon() {
    let (mut plan, now) = resting();
    let key = keep(&mut plan, "a", 1, now);
    plan.leaving(key, now, 0.0);
    let mut at = now;
    for _ in 0..20 {
        at = plan.next_try().expect("a successor is missing");
        plan.opened("a", 1, at, 0.0);
    }
    assert!(
        plan.next_try().is_some_and(|next| next > at + SECOND),
        "it waits longer and longer"
    );
    plan.ended("a", key, 60 * SECOND, (at, 0.0));
    assert!(plan.next_try().is_some_and(|next| next <= at + SECOND));
}

proptest! {
    #[test]
    fn any_order_of_events_leaves_one_stream_per_server(
        events in proptest::collection::vec((0_u8..6, 0_usize..4, 0_usize..5), 1..200),
    ) {
        let (mut plan, start) = resting();
        let mut live: BTreeMap<usize, SessionKey> = BTreeMap::new();
        let mut leaving: BTreeMap<usize, SessionKey> = BTreeMap::new();
        let mut dead = Vec::new();
        for (step, (event, server, count)) in events.into_iter().enumerate() {
            let now = start + SECOND * u32::try_from(step).unwrap();
            let name = server.to_string();
            match event {
                0 => match plan.opened(&name, count, now, 0.5) {
                    Verdict::Keep(key) => prop_assert!(live.insert(server, key).is_none()),
                    Verdict::Duplicate => {
                        prop_assert!(live.contains_key(&server) || leaving.contains_key(&server));
                    }
                },
                1 => if let Some(key) = live.remove(&server) {
                    plan.ended(&name, key, SECOND * 2, (now, 0.5));
                    dead.push((name, key));
                },
                2 => for (name, key) in &dead {
                    plan.ended(name, *key, SECOND, (now, 0.5));
                },
                3 => if let Some(key) = live.remove(&server) {
                    plan.leaving(key, now, 0.5);
                    leaving.insert(server, key);
                },
                4 => if let Some(key) = leaving.remove(&server) {
                    plan.ended(&name, key, SECOND * 2, (now, 0.5));
                    dead.push((name, key));
                },
                _ => { plan.reported(count, now); plan.leased(Some(count), now); plan.failed(now, 0.5); }
            }
            prop_assert_eq!(plan.held(), live.len());
            prop_assert_eq!(plan.next_try().is_some(), plan.held() < plan.known());
            prop_assert!(plan.next_try().is_none_or(|at| at <= now + SECOND * 11));
        }
    }
}
