//! Who is connected. In: agents as they come and go, and what siblings say of theirs. Out: the backend that serves a
//! destination, readiness, and word of every change for the siblings.
//! Lists are in order of arrival; a [`Membership`] removes its backend when dropped, whatever ended it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backend::{Backend, BackendId};
use super::metrics::Metrics;
use super::strategy::{self, Candidate, Distance, Names, Standing, Strategy};
use crate::protocol::peer::{RemoteAgent, Word};

/// An agent that left is followed by another one within this, when it is rolled.
const SOON: Duration = Duration::from_secs(10);

/// The agents of this server, and those that siblings offer.
#[derive(Debug)]
pub(crate) struct Backends {
    strategies: Vec<Strategy>,
    lists: Mutex<Lists>,
    /// Told of every change that may help a dial.
    changed: watch::Sender<()>,
    /// Told of changes of this server's own agents.
    changed_here: watch::Sender<()>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Lists {
    here: Vec<Arc<Backend>>,
    siblings: Vec<Sibling>,
    /// When an agent left last, here or at a sibling.
    left: Option<Instant>,
}

/// One other server and its agents.
#[derive(Debug)]
struct Sibling {
    backend: Arc<Backend>,
    agents: BTreeMap<u64, Remote>,
}

/// An agent of it.
#[derive(Debug)]
struct Remote {
    agent: String,
    names: Names,
    standing: Standing,
}

/// Which agents may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those of this server: the dial was relayed once already.
    Here,
    /// Those of siblings too.
    Everywhere,
}

impl Backends {
    /// Nobody yet.
    pub(crate) fn new(strategies: Vec<Strategy>, metrics: Metrics) -> Self {
        Self {
            strategies,
            lists: Mutex::default(),
            changed: watch::Sender::new(()),
            changed_here: watch::Sender::new(()),
            metrics,
        }
    }

    /// The backend that serves `host`, leaving out those that were tried already.
    pub(crate) fn pick(
        &self,
        host: &str,
        tried: &[BackendId],
        reach: Reach,
    ) -> Option<Arc<Backend>> {
        let lists = self.lists();
        let (backends, candidates): (Vec<_>, Vec<_>) = lists
            .candidates(reach)
            .filter(|(backend, _)| !tried.contains(&backend.id()))
            .unzip();
        let random = rand::random::<u32>() as usize;
        let at = strategy::pick(&self.strategies, &candidates, host, random)?;
        backends.get(at).map(|backend| Arc::clone(backend))
    }

    /// Adds a backend for as long as the membership lives.
    pub(crate) fn admit(self: &Arc<Self>, backend: Arc<Backend>) -> Membership {
        backend.tell(&self.changed_here);
        self.lists().here.push(Arc::clone(&backend));
        self.count();
        self.changed.send_replace(());
        self.changed_here.send_replace(());
        self.membership(backend)
    }

    /// Adds a sibling, whose agents are told later, for as long as the membership lives.
    pub(crate) fn admit_sibling(self: &Arc<Self>, backend: Arc<Backend>) -> Membership {
        let sibling = Sibling {
            backend: Arc::clone(&backend),
            agents: BTreeMap::new(),
        };
        self.lists().siblings.push(sibling);
        self.metrics.siblings.inc();
        self.membership(backend)
    }

    /// Whether the first strategy can choose from anybody, as the reference's readiness has it, here or at a sibling.
    pub(crate) fn is_ready(&self) -> bool {
        self.strategies
            .first()
            .is_some_and(|first| self.known(*first, Reach::Everywhere) > 0)
    }

    /// Whether an agent is to be expected soon: none is in order, and one leaves or has just left.
    pub(crate) fn expects_more(&self, now: Instant) -> bool {
        let lists = self.lists();
        let is_recent = |since: Option<Instant>| since.is_some_and(|since| now < since + SOON);
        let leaves = |it: &Arc<Backend>| is_recent(it.draining_since());
        lists
            .candidates(Reach::Everywhere)
            .all(|(_, it)| it.standing != Standing::Ready)
            && (is_recent(lists.left) || lists.here.iter().any(leaves))
    }

    /// Whether somebody is left who was not tried, whomever they can reach.
    pub(crate) fn has_others(&self, tried: &[BackendId], reach: Reach) -> bool {
        let lists = self.lists();
        let mut all = lists.candidates(reach);
        all.any(|(backend, _)| !tried.contains(&backend.id()))
    }

    /// Agent streams right now.
    pub(crate) fn len(&self) -> usize {
        self.lists().here.len()
    }

    /// The agents of this server, as siblings are told of them.
    pub(crate) fn here(&self) -> Vec<Arc<Backend>> {
        self.lists().here.clone()
    }

    /// The servers that are connected to this one, the oldest first.
    pub(crate) fn siblings(&self) -> Vec<Arc<Backend>> {
        let lists = self.lists();
        let siblings = lists.siblings.iter();
        siblings.map(|it| Arc::clone(&it.backend)).collect()
    }

    /// Wakes whenever [`Backends::here`] changes, or what is to be said of them.
    pub(crate) fn changes_here(&self) -> watch::Receiver<()> {
        self.changed_here.subscribe()
    }

    /// Wakes whenever there is another agent to choose, here or at a sibling.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn membership(self: &Arc<Self>, backend: Arc<Backend>) -> Membership {
        Membership {
            backends: Arc::clone(self),
            backend,
        }
    }

    fn known(&self, strategy: Strategy, reach: Reach) -> usize {
        let lists = self.lists();
        let candidates: Vec<_> = lists.candidates(reach).map(|(_, it)| it).collect();
        strategy::known(strategy, &candidates)
    }

    /// Brings the gauges up to date. The reference's deprecated one follows the first strategy here;
    /// there it shows whichever strategy changed last.
    fn count(&self) {
        for strategy in &self.strategies {
            self.metrics
                .ready(*strategy, self.known(*strategy, Reach::Here));
        }
        if let Some(first) = self.strategies.first() {
            self.metrics.ready_first(self.known(*first, Reach::Here));
        }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    /// Every agent with the backend that reaches it.
    fn candidates(&self, reach: Reach) -> impl Iterator<Item = (&Arc<Backend>, Candidate<'_>)> {
        let here = self.here.iter().map(|it| (it, it.candidate()));
        let siblings = match reach {
            Reach::Here => [].iter(),
            Reach::Everywhere => self.siblings.iter(),
        };
        here.chain(siblings.flat_map(Sibling::candidates))
    }
}

impl Sibling {
    fn candidates(&self) -> impl Iterator<Item = (&Arc<Backend>, Candidate<'_>)> {
        let Candidate { standing, load, .. } = self.backend.candidate();
        self.agents.values().map(move |it| {
            let candidate = Candidate {
                agent: &it.agent,
                names: &it.names,
                standing: standing.max(it.standing),
                distance: Distance::There,
                load,
            };
            (&self.backend, candidate)
        })
    }
}

impl From<RemoteAgent> for Remote {
    fn from(it: RemoteAgent) -> Self {
        Self {
            names: Names::from(&it.identifiers),
            agent: it.agent,
            standing: if it.is_draining {
                Standing::Draining
            } else {
                Standing::Ready
            },
        }
    }
}

/// One backend's place in its list.
#[derive(Debug)]
pub(crate) struct Membership {
    backends: Arc<Backends>,
    backend: Arc<Backend>,
}

impl Membership {
    /// What the sibling of this place says of its agents.
    pub(crate) fn hears(&self, word: Word) {
        if word.is_draining {
            self.backend.drains();
        }
        let (has_left, has_come) = (!word.left.is_empty(), !word.came.is_empty());
        let mut lists = self.backends.lists();
        let own = |it: &&mut Sibling| it.backend.id() == self.backend.id();
        if let Some(sibling) = lists.siblings.iter_mut().find(own) {
            for key in word.left {
                sibling.agents.remove(&key);
            }
            let came = word.came.into_iter();
            sibling.agents.extend(came.map(|it| (it.key, it.into())));
            if has_left {
                lists.left = Some(Instant::now());
            }
        }
        drop(lists);
        if has_come {
            self.backends.changed.send_replace(());
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut lists = self.backends.lists();
        let agents = lists.here.len();
        lists.here.retain(|it| it.id() != self.backend.id());
        let was_here = lists.here.len() < agents;
        let mut had_agents = was_here;
        lists.siblings.retain(|it| {
            let is_ours = it.backend.id() == self.backend.id();
            had_agents |= is_ours && !it.agents.is_empty();
            !is_ours
        });
        if had_agents {
            lists.left = Some(Instant::now());
        }
        drop(lists);
        if was_here {
            self.backends.count();
            self.backends.changed_here.send_replace(());
        } else {
            self.backends.metrics.siblings.dec();
        }
    }
}
