//! Addresses and names of siblings, in every order.

use proptest::prelude::*;

use super::*;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 8135))
}

fn set(addresses: &[u8]) -> BTreeSet<SocketAddr> {
    addresses.iter().copied().map(address).collect()
}

fn held(plan: &Plan) -> Vec<&str> {
    plan.held().collect()
}

#[test]
fn every_sibling_is_held_once_and_this_server_never() {
    let now = Instant::now();
    let mut plan = Plan::new("s1".to_owned());
    plan.listed(&set(&[1, 2, 3, 4]), now);
    assert_eq!(plan.due(now), [1, 2, 3, 4].map(address));
    assert_eq!(plan.opened(address(1), "s1"), Verdict::Close);
    assert_eq!(plan.opened(address(2), "s2"), Verdict::Keep);
    assert_eq!(plan.opened(address(3), "s3"), Verdict::Keep);
    assert_eq!(plan.opened(address(4), "s2"), Verdict::Close);
    assert_eq!(held(&plan), ["s2", "s3"]);
    assert_eq!(plan.next(), None, "nothing is missing");
}

#[test]
fn spare_address_takes_over_at_once() {
    let now = Instant::now();
    let mut plan = Plan::new("s1".to_owned());
    plan.listed(&set(&[2, 4]), now);
    plan.due(now);
    plan.opened(address(2), "s2");
    plan.opened(address(4), "s2");
    plan.ended(address(2), now, 0.0);
    assert_eq!(plan.due(now), [address(4)]);
    assert_eq!(plan.next(), Some(now + FIRST), "the lost one has to wait");
}

#[test]
fn address_that_no_name_stands_for_is_forgotten_when_it_fails() {
    let now = Instant::now();
    let mut plan = Plan::new("s1".to_owned());
    plan.hinted(address(2), now);
    for _ in 0..PATIENCE {
        let at = plan.next().expect("it is tried again");
        assert_eq!(plan.due(at), [address(2)]);
        plan.ended(address(2), at, 0.0);
    }
    assert_eq!(plan.next(), None);
    plan.listed(&set(&[3]), now);
    plan.due(now);
    plan.opened(address(3), "s3");
    plan.listed(&set(&[]), now);
    assert_eq!(held(&plan), ["s3"], "a name that is gone closes nothing");
}

#[test]
fn sibling_that_comes_by_is_tried_without_delay() {
    let now = Instant::now();
    let mut plan = Plan::new("s1".to_owned());
    plan.listed(&set(&[2]), now);
    plan.due(now);
    plan.ended(address(2), now, 0.0);
    assert_eq!(plan.due(now), []);
    plan.hinted(address(2), now);
    assert_eq!(plan.due(now), [address(2)]);
}

#[test]
fn names_that_cannot_be_resolved_withdraw_nobody() {
    let now = Instant::now();
    let mut plan = Plan::new("s1".to_owned());
    plan.listed(&set(&[2]), now);
    plan.found(&set(&[3]), now);
    assert_eq!(plan.due(now), [2, 3].map(address));
    assert!(!plan.is_complete());
    plan.opened(address(2), "s2");
    plan.opened(address(3), "s1");
    assert!(plan.is_complete());
}

#[derive(Clone, Debug)]
enum Step {
    Listed(Vec<u8>),
    Hinted(u8),
    Opened(u8, u8),
    Ended(u8),
    Later(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        proptest::collection::vec(0..6_u8, 0..6).prop_map(Step::Listed),
        (0..6_u8).prop_map(Step::Hinted),
        (0..6_u8, 0..4_u8).prop_map(|(at, id)| Step::Opened(at, id)),
        (0..6_u8).prop_map(Step::Ended),
        (0..20_000_u64).prop_map(Step::Later),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn no_server_is_held_twice_and_listed_ones_are_always_found(steps in steps()) {
        let mut now = Instant::now();
        let mut plan = Plan::new("0".to_owned());
        let mut trying: BTreeSet<SocketAddr> = BTreeSet::new();
        let mut open: BTreeSet<SocketAddr> = BTreeSet::new();
        let mut last: BTreeSet<SocketAddr> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Listed(addresses) => {
                    last = set(&addresses);
                    plan.listed(&last, now);
                }
                Step::Hinted(at) => plan.hinted(address(at), now),
                Step::Opened(at, id) if trying.remove(&address(at)) => {
                    if plan.opened(address(at), &id.to_string()) == Verdict::Keep {
                        open.insert(address(at));
                    }
                }
                Step::Ended(at) => {
                    if trying.remove(&address(at)) || open.remove(&address(at)) {
                        plan.ended(address(at), now, 0.5);
                    }
                }
                Step::Opened(..) => {}
                Step::Later(millis) => now += Duration::from_millis(millis),
            }
            for at in plan.due(now) {
                prop_assert!(!open.contains(&at), "{at} is open already");
                prop_assert!(trying.insert(at), "{at} is tried twice");
            }
            let mut ids = held(&plan);
            prop_assert_eq!(ids.len(), open.len());
            prop_assert!(!ids.contains(&"0"));
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), open.len(), "one connection for each server");
        }
        // Whatever happened: a listed address is tried sooner or later, unless it leads to a server we hold or are.
        now += CAP * 2;
        let due: BTreeSet<_> = plan.due(now).into_iter().chain(trying).collect();
        for at in last.difference(&due) {
            let state = &plan.known[at].state;
            prop_assert!(matches!(state, State::Held(_) | State::Spare(_) | State::Own), "{state:?}");
        }
    }
}
