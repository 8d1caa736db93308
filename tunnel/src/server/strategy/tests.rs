//! The reference's selection, and where ours is better on purpose.

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::*;

struct Agent {
    name: &'static str,
    identifiers: Identifiers,
    standing: Standing,
}

fn agent(name: &'static str, identifiers: &str) -> Agent {
    Agent {
        name,
        identifiers: Identifiers::parse(identifiers).expect("legal identifiers"),
        standing: Standing::Ready,
    }
}

fn candidates(agents: &[Agent]) -> Vec<Candidate<'_>> {
    let view = |it: &'_ Agent| -> (&'static str, Standing) { (it.name, it.standing) };
    agents
        .iter()
        .map(|it| Candidate {
            agent: view(it).0,
            identifiers: &it.identifiers,
            standing: view(it).1,
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
