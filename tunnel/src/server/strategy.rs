//! Which agent serves a destination: `default`, `destHost`, `defaultRoute` as pure functions over a list.
//! In: the strategies in the order of the flag, who is connected, the destination's host, one random number.
//! Out: an index into the list, or nobody. No clock, no locks, no state.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

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
    /// Failed the last dials by itself; asked again after a while.
    Failing,
}

/// How far away a backend is; earlier is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Distance {
    /// Connected to this server.
    Here,
    /// Connected to a sibling, which relays.
    There,
}

impl Standing {
    /// The status's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Congested => "congested",
            Self::Draining => "draining",
            Self::Failing => "failing",
        }
    }
}

/// What an agent can reach, in one spelling, made once when it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    hosts: Vec<String>,
    networks: Vec<IpNet>,
    default_route: bool,
}

impl From<&Identifiers> for Names {
    fn from(it: &Identifiers) -> Self {
        let hosts = [&it.ipv4, &it.ipv6, &it.host].into_iter().flatten();
        Self {
            hosts: hosts.map(|host| canonical(host)).collect(),
            networks: it.cidr.iter().filter_map(|it| it.parse().ok()).collect(),
            default_route: it.default_route,
        }
    }
}

impl Names {
    fn longest_prefix(&self, address: IpAddr) -> Option<u8> {
        let networks = self.networks.iter().filter(|it| it.contains(&address));
        networks.map(IpNet::prefix_len).max()
    }
}

/// What a strategy may know about one backend. Lists are ordered from the oldest to the newest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// The agent's name; two streams of one agent share it.
    pub(crate) agent: &'a str,
    /// What it can reach.
    pub(crate) names: &'a Names,
    /// Whether it should be asked.
    pub(crate) standing: Standing,
    /// Whether a sibling must relay.
    pub(crate) distance: Distance,
    /// Connections it has open.
    pub(crate) load: usize,
}

impl Candidate<'_> {
    /// The order of preference: a sibling's agent comes before one here that is in trouble.
    fn rank(&self) -> (Standing, Distance) {
        (self.standing, self.distance)
    }
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
        Strategy::DefaultRoute => any(candidates, random, |it| it.names.default_route),
        Strategy::DestHost => called(candidates, host),
    })
}

/// Number of identifiers a strategy knows: what `ready_backends` counts, and readiness of the first one.
pub(crate) fn known(strategy: Strategy, candidates: &[Candidate<'_>]) -> usize {
    let mut names: Vec<String> = candidates
        .iter()
        .flat_map(|it| match strategy {
            Strategy::Default => vec![it.agent.to_owned()],
            Strategy::DefaultRoute if it.names.default_route => vec![it.agent.to_owned()],
            Strategy::DefaultRoute => Vec::new(),
            Strategy::DestHost => {
                let networks = it.names.networks.iter().map(IpNet::to_string);
                it.names.hosts.iter().cloned().chain(networks).collect()
            }
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// Of two random agents of the best rank the one with fewer connections, the newest stream of it.
fn any(
    candidates: &[Candidate<'_>],
    random: usize,
    eligible: impl Fn(&Candidate<'_>) -> bool,
) -> Option<usize> {
    let best = candidates
        .iter()
        .filter(|it| eligible(it))
        .map(Candidate::rank)
        .min()?;
    let is_best = |it: &Candidate<'_>| eligible(it) && it.rank() == best;
    let all = || (0..).zip(candidates).filter(|(_, it)| is_best(it));
    let count = all().count();
    let one = all().nth(random.checked_rem(count)?)?;
    let other = all().nth(random.checked_div(count)?.checked_rem(count)?)?;
    let chosen = if other.1.load < one.1.load {
        other
    } else {
        one
    };
    newest_like(chosen, candidates, eligible)
}

/// Takes the first agent in order of arrival that has the name, the newest stream of it; else one whose network has the
/// address.
fn called(candidates: &[Candidate<'_>], host: &str) -> Option<usize> {
    let wanted = canonical(host);
    let matches = |it: &Candidate<'_>| it.names.hosts.contains(&wanted);
    let first = (0..)
        .zip(candidates)
        .filter(|(_, it)| matches(it))
        .min_by_key(|(_, it)| it.rank());
    match first {
        Some(first) => newest_like(first, candidates, matches),
        None => routed(candidates, wanted.parse().ok()?),
    }
}

/// Takes the agent with the longest prefix, as a router would, among those of the best standing.
fn routed(candidates: &[Candidate<'_>], address: IpAddr) -> Option<usize> {
    let routes = (0..).zip(candidates).filter_map(|(at, it)| {
        let prefix = it.names.longest_prefix(address)?;
        Some(((it.standing, Reverse(prefix), it.distance), (at, it)))
    });
    let ((_, Reverse(prefix), _), chosen) = routes.min_by_key(|(key, _)| *key)?;
    newest_like(chosen, candidates, |it| {
        it.names.longest_prefix(address) == Some(prefix)
    })
}

/// The last stream of the same agent that is as good. A sibling's word is taken as it is: which stream is asked there is
/// the sibling's choice.
fn newest_like(
    (at, chosen): (usize, &Candidate<'_>),
    candidates: &[Candidate<'_>],
    eligible: impl Fn(&Candidate<'_>) -> bool,
) -> Option<usize> {
    match chosen.distance {
        Distance::There => Some(at),
        Distance::Here => candidates
            .iter()
            .rposition(|it| it.agent == chosen.agent && it.rank() == chosen.rank() && eligible(it)),
    }
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
