//! The reference's selection, and where ours is better on purpose.

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::*;

struct Agent {
    name: &'static str,
    names: Names,
    standing: Standing,
    distance: Distance,
    load: usize,
}

fn agent(name: &'static str, identifiers: &str) -> Agent {
    Agent {
        name,
        names: Names::from(&Identifiers::parse(identifiers).expect("legal identifiers")),
        standing: Standing::Ready,
        distance: Distance::Here,
        load: 0,
    }
}

fn candidates(agents: &[Agent]) -> Vec<Candidate<'_>> {
    let view = |it: &'_ Agent| -> (&'static str, Standing) { (it.name, it.standing) };
    agents
        .iter()
        .map(|it| Candidate {
            agent: view(it).0,
            names: &it.names,
            standing: view(it).1,
            distance: it.distance,
            load: it.load,
        })
        .collect()
}

fn picks(strategies: &[Strategy], agents: &[Agent], host: &str, random: usize) -> Option<usize> {
    pick(strategies, &candidates(agents), host, random)
}

#[test]
fn default_takes_any_agent_by_the_random_number() {
    let agents = [agent("a", ""), agent("b", ""), agent("c", "")];
    let picked: Vec<_> = (0..6)
        .map(|random| picks(&[Strategy::Default], &agents, "x", random))
        .collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2].map(Some));
}

#[test]
fn draining_agent_is_asked_only_when_no_other_is_there() {
    let mut agents = [agent("a", ""), agent("b", "")];
    agents[0].standing = Standing::Draining;
    for random in 0..2 {
        assert_eq!(picks(&[Strategy::Default], &agents, "x", random), Some(1));
    }
    agents[1].standing = Standing::Draining;
    assert_eq!(picks(&[Strategy::Default], &agents, "x", 0), Some(0));
}

#[test]
fn siblings_agent_is_asked_when_none_here_serves() {
    let mut agents = [agent("a", "host=n1"), agent("b", "host=n2")];
    agents[1].distance = Distance::There;
    let strategies = [Strategy::DestHost, Strategy::Default];
    for random in 0..2 {
        assert_eq!(picks(&strategies, &agents, "n3", random), Some(0));
        assert_eq!(picks(&strategies, &agents, "n2", random), Some(1));
    }
    agents[0].standing = Standing::Congested;
    assert_eq!(picks(&strategies, &agents, "n3", 0), Some(1));
    agents[1].standing = Standing::Draining;
    assert_eq!(picks(&strategies, &agents, "n3", 0), Some(0));
}

#[test]
fn siblings_share_the_dials_for_an_agent_that_all_of_them_have() {
    let mut agents = [agent("a", ""), agent("a", "")];
    for it in &mut agents {
        it.distance = Distance::There;
    }
    assert_eq!(picks(&[Strategy::Default], &agents, "x", 0), Some(0));
    assert_eq!(picks(&[Strategy::Default], &agents, "x", 1), Some(1));
    agents[1].load = 1;
    assert_eq!(
        picks(&[Strategy::Default], &agents, "x", 1),
        Some(0),
        "1 and 0 are compared"
    );
}

#[test]
fn congested_agent_comes_before_a_draining_one() {
    let mut agents = [agent("a", ""), agent("b", "")];
    agents[0].standing = Standing::Draining;
    agents[1].standing = Standing::Congested;
    assert_eq!(picks(&[Strategy::Default], &agents, "x", 0), Some(1));
}

#[test]
fn newest_stream_of_an_agent_is_asked() {
    let agents = [agent("a", "host=n1"), agent("b", ""), agent("a", "host=n1")];
    assert_eq!(picks(&[Strategy::Default], &agents, "x", 0), Some(2));
    assert_eq!(picks(&[Strategy::DestHost], &agents, "n1", 0), Some(2));
}

#[test]
fn dest_host_finds_the_agent_by_its_names() {
    let agents = [
        agent("a", "ipv4=10.0.0.1&host=node-1"),
        agent("b", "ipv6=fd00::1&host=Node-2.example"),
    ];
    for (host, expected) in [
        ("10.0.0.1", Some(0)),
        ("node-1", Some(0)),
        ("fd00::1", Some(1)),
        ("fd00:0:0::1", Some(1)),
        ("::ffff:10.0.0.1", Some(0)),
        ("node-2.EXAMPLE.", Some(1)),
        ("10.0.0.2", None),
    ] {
        assert_eq!(
            picks(&[Strategy::DestHost], &agents, host, 7),
            expected,
            "{host}"
        );
    }
}

#[test]
fn default_route_takes_only_agents_that_offer_it() {
    let agents = [
        agent("a", "default-route=false"),
        agent("b", "default-route=true"),
    ];
    for random in 0..4 {
        assert_eq!(
            picks(&[Strategy::DefaultRoute], &agents, "x", random),
            Some(1)
        );
    }
    assert_eq!(picks(&[Strategy::DefaultRoute], &agents[..1], "x", 0), None);
}

#[test]
fn of_two_agents_the_one_with_fewer_connections_is_asked() {
    let mut agents = [agent("a", ""), agent("b", ""), agent("c", "")];
    agents[0].load = 9;
    agents[1].load = 5;
    // 0 and 3 choose two of them: a with a, a with b.
    for (random, expected) in [(0, 0), (3, 1), (6, 2), (4, 1), (1, 1), (5, 2)] {
        let picked = picks(&[Strategy::Default], &agents, "x", random);
        assert_eq!(picked, Some(expected), "{random}");
    }
}

#[test]
fn failing_agent_is_asked_last() {
    let mut agents = [agent("a", ""), agent("b", "")];
    agents[0].standing = Standing::Failing;
    agents[1].standing = Standing::Draining;
    assert_eq!(picks(&[Strategy::Default], &agents, "x", 0), Some(1));
    assert_eq!(picks(&[Strategy::Default], &agents[..1], "x", 0), Some(0));
}

#[test]
fn networks_are_routes_and_the_longest_prefix_wins() {
    let mut agents = [
        agent("wide", "cidr=10.0.0.0/8"),
        agent("narrow", "cidr=10.1.0.0/16&cidr=fd00::/64"),
        agent("exact", "ipv4=10.1.0.7"),
        agent("broken", "cidr=nonsense"),
    ];
    let ask = |agents: &[Agent], host| picks(&[Strategy::DestHost], agents, host, 0);
    for (host, expected) in [
        ("10.2.0.1", Some(0)),
        ("10.1.0.1", Some(1)),
        ("10.1.0.7", Some(2)),
        ("[fd00::5]", Some(1)),
        ("::ffff:10.1.0.1", Some(1)),
        ("11.0.0.1", None),
        ("node-1", None),
    ] {
        assert_eq!(ask(&agents, host), expected, "{host}");
    }
    agents[1].distance = Distance::There;
    assert_eq!(
        ask(&agents, "10.1.0.1"),
        Some(1),
        "the route decides, not the distance"
    );
    agents[1].standing = Standing::Draining;
    assert_eq!(ask(&agents, "10.1.0.1"), Some(0));
}

#[test]
fn strategies_are_tried_in_order() {
    let agents = [agent("a", ""), agent("b", "host=n1")];
    let order = [Strategy::DestHost, Strategy::Default];
    assert_eq!(picks(&order, &agents, "n1", 0), Some(1));
    assert_eq!(picks(&order, &agents, "n2", 0), Some(0));
}

#[test]
fn identifiers_are_counted_per_strategy_without_duplicates() {
    let agents = [
        agent("a", "ipv4=10.0.0.1&host=n1"),
        agent("a", "ipv4=10.0.0.1"),
        agent("b", ""),
    ];
    let count = |strategy| known(strategy, &candidates(&agents));
    assert_eq!(count(Strategy::Default), 2);
    assert_eq!(count(Strategy::DestHost), 2);
    assert_eq!(count(Strategy::DefaultRoute), 0);
}

proptest! {
    #[test]
    fn default_finds_somebody_whenever_somebody_is_there(
        standings in proptest::collection::vec(0..3_u8, 0..12),
        random in any::<usize>(),
    ) {
        let agents: Vec<Agent> = standings
            .iter()
            .map(|standing| Agent {
                standing: match standing {
                    0 => Standing::Ready,
                    1 => Standing::Congested,
                    _ => Standing::Draining,
                },
                ..agent("a", "")
            })
            .collect();
        let picked = picks(&[Strategy::Default], &agents, "x", random);
        prop_assert_eq!(picked.is_some(), !agents.is_empty());
        let best = agents.iter().map(|it| it.standing).min();
        prop_assert_eq!(picked.map(|at| agents[at].standing), best);
    }
}
