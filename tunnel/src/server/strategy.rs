//! Which agent serves a destination: `default`, `destHost`, `defaultRoute` as pure functions over a list.
//! In: the strategies in the order of the flag, who is connected, the destination's host, one random number.
//! Out: an index into the list, or nobody. No clock, no locks, no state.

use std::net::IpAddr;

use crate::protocol::metadata::Identifiers;

/// A rule that picks an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Any agent.
    Default,
    /// The agent that calls itself by the destination's host.
    DestHost,
    /// Any agent that offers itself for all destinations.
    DefaultRoute,
}

impl Strategy {
    /// Every strategy, as the metric names them.
    pub const ALL: [Self; 3] = [Self::Default, Self::DestHost, Self::DefaultRoute];

    /// The word of `--proxy-strategies`.
    pub fn from_flag(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == word)
    }

    /// The flag's word and the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DestHost => "destHost",
            Self::DefaultRoute => "defaultRoute",
        }
    }
}

/// How willingly a backend is chosen; earlier is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Takes dials.
    Ready,
    /// Has not taken a byte for seconds.
    Congested,
    /// Announced that it leaves.
    Draining,
}

/// What a strategy may know about one backend. Lists are ordered from the oldest to the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// The agent's name; two streams of one agent share it.
    pub(crate) agent: &'a str,
    /// What it calls itself.
    pub(crate) identifiers: &'a Identifiers,
    /// Whether it should be asked.
    pub(crate) standing: Standing,
}

/// The index of the backend that serves `host`.
///
/// The first strategy that knows a backend decides, as in the reference. Within one strategy the best
/// standing wins, so a leaving agent is only asked when no other is there. Two differences from the
/// reference, both per stream: of several streams of one agent the newest is asked (the reference holds
/// on to the first, even if its host is gone), and addresses are compared as addresses.
pub(crate) fn pick(
    strategies: &[Strategy],
    candidates: &[Candidate<'_>],
    host: &str,
    random: usize,
) -> Option<usize> {
    strategies.iter().find_map(|strategy| match strategy {
        Strategy::Default => any(candidates, random, |_| true),
        Strategy::DefaultRoute => any(candidates, random, |it| it.identifiers.default_route),
        Strategy::DestHost => called(candidates, host),
    })
}

/// Number of identifiers a strategy knows: what `ready_backends` counts, and readiness of the first one.
pub(crate) fn known(strategy: Strategy, candidates: &[Candidate<'_>]) -> usize {
    let mut names: Vec<String> = candidates
        .iter()
        .flat_map(|it| match strategy {
            Strategy::Default => vec![it.agent.to_owned()],
            Strategy::DefaultRoute if it.identifiers.default_route => vec![it.agent.to_owned()],
            Strategy::DefaultRoute => Vec::new(),
            Strategy::DestHost => hosts(it.identifiers).map(canonical).collect(),
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// Starts at a random agent and takes the first of the best standing, the newest stream of it.
fn any(
    candidates: &[Candidate<'_>],
    random: usize,
    eligible: impl Fn(&Candidate<'_>) -> bool,
) -> Option<usize> {
    let start = random.checked_rem(candidates.len())?;
    let (before, from) = candidates.split_at_checked(start)?;
    let mut chosen: Option<&Candidate<'_>> = None;
    for it in from.iter().chain(before).filter(|it| eligible(it)) {
        if chosen.is_none_or(|best| it.standing < best.standing) {
            chosen = Some(it);
        }
        if it.standing == Standing::Ready {
            break;
        }
    }
    newest_like(chosen?, candidates, eligible)
}

/// Takes the first agent in order of arrival that has the name, the newest stream of it.
fn called(candidates: &[Candidate<'_>], host: &str) -> Option<usize> {
    let wanted = canonical(host);
    let matches = |it: &Candidate<'_>| hosts(it.identifiers).any(|name| canonical(name) == wanted);
    let first = candidates
        .iter()
        .filter(|it| matches(it))
        .min_by_key(|it| it.standing)?;
    newest_like(first, candidates, matches)
}

/// The last stream of the same agent that is as good.
fn newest_like(
    chosen: &Candidate<'_>,
    candidates: &[Candidate<'_>],
    eligible: impl Fn(&Candidate<'_>) -> bool,
) -> Option<usize> {
    candidates
        .iter()
        .rposition(|it| it.agent == chosen.agent && it.standing == chosen.standing && eligible(it))
}

fn hosts(identifiers: &Identifiers) -> impl Iterator<Item = &str> {
    [&identifiers.ipv4, &identifiers.ipv6, &identifiers.host]
        .into_iter()
        .flatten()
        .map(String::as_str)
}

/// Addresses have one spelling each; names are compared without case and final dot.
fn canonical(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map_or_else(
        |_name| bare.trim_end_matches('.').to_ascii_lowercase(),
        |address| address.to_canonical().to_string(),
    )
}

#[cfg(test)]
mod tests;
