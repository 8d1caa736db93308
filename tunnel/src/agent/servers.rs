//! Keeps a session to every server: carries out the [`Plan`].
//!
//! Tries and sessions are tasks of one set; the loop only hears of their ends, of new counts and of
//! the drain, and asks the plan what is next. It ends when the agent is drained or forced to end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::connect::{ConnectError, Connector, Link};
use super::connection::{Counted, Shared};
use super::dial::Dialer;
use super::metrics::Metrics;
use super::plan::{Plan, SessionKey, Verdict};
use super::session::{End, Session};
use crate::drain::Watcher;
use crate::telemetry::chain;

/// What still waits for a server when its session ends in order gets this long to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The loop's inputs.
#[derive(Debug)]
pub struct Servers {
    /// Opens streams.
    pub connector: Connector,
    /// Opens endpoints.
    pub dialer: Arc<Dialer>,
    /// Counts.
    pub metrics: Metrics,
    /// The servers counted by Leases, if they are.
    pub leased: watch::Receiver<Option<usize>>,
    /// The shutdown.
    pub drain: Watcher,
}

/// What the tasks of the set report.
enum Event {
    Tried(Result<Box<Link>, ConnectError>),
    Ended {
        server: String,
        key: SessionKey,
        began: Instant,
    },
}

impl Servers {
    /// Keeps sessions until drained. A task that panicked is an error: which server it served is
    /// lost with it, and a new process is the surest way to hold them all again.
    pub async fn keep(mut self, mut plan: Plan) -> Result<(), JoinError> {
        let mut tasks = JoinSet::new();
        let mut is_trying = false;
        let mut drain = self.drain.clone();
        let mut forced = self.drain.clone();
        loop {
            self.publish(&plan);
            let next_try = plan
                .next_try()
                .filter(|_| !is_trying && !drain.is_draining());
            if drain.is_draining() && plan.held() == 0 {
                return Ok(());
            }
            tokio::select! {
                () = sleep_until(next_try.unwrap_or_else(Instant::now)), if next_try.is_some() => {
                    is_trying = true;
                    let connector = self.connector.clone();
                    tasks.spawn(async move { Event::Tried(connector.open().await) });
                }
                Some(event) = tasks.join_next() => match event {
                    Ok(Event::Tried(tried)) => {
                        is_trying = false;
                        self.tried(&mut plan, &mut tasks, tried);
                    }
                    Ok(Event::Ended { server, key, began }) => {
                        plan.ended(&server, key, began.elapsed(), (Instant::now(), rand::random()));
                    }
                    Err(error) => return Err(error),
                },
                Ok(()) = self.leased.changed() => {
                    plan.leased(*self.leased.borrow_and_update(), Instant::now());
                }
                () = drain.draining(), if !drain.is_draining() => {}
                () = forced.forced() => return Ok(()),
            }
        }
    }

    fn tried(
        &self,
        plan: &mut Plan,
        tasks: &mut JoinSet<Event>,
        tried: Result<Box<Link>, ConnectError>,
    ) {
        let now = Instant::now();
        let link = match tried {
            Ok(link) => link,
            Err(error) => {
                self.metrics
                    .server_failures
                    .with_label_values(&["to_server"])
                    .inc();
                let delay = plan.failed(now, rand::random());
                let error = chain(&error);
                tracing::warn!(error, retry_in = ?delay, "no stream to a server");
                return;
            }
        };
        if self.drain.is_draining() {
            return;
        }
        match plan.opened(&link.server, link.count, now, rand::random()) {
            Verdict::Duplicate => {
                tracing::debug!(server = link.server, "already connected to this server");
            }
            Verdict::Keep(key) => {
                tracing::info!(
                    server = link.server,
                    count = link.count,
                    "connected to a server"
                );
                let shared = Shared::new(Arc::clone(&self.dialer), self.metrics.clone());
                tasks.spawn(live(*link, key, shared, self.drain.clone()));
            }
        }
    }

    fn publish(&self, plan: &Plan) {
        self.metrics
            .known_servers
            .set(i64::try_from(plan.known()).unwrap_or(i64::MAX));
    }
}

/// One session from the first packet to the last.
async fn live(link: Link, key: SessionKey, shared: Shared, drain: Watcher) -> Event {
    let began = Instant::now();
    let _counted = Counted::new(&shared.metrics.open_servers);
    let (metrics, outbox) = (shared.metrics.clone(), shared.outbox.clone());
    let Link {
        server,
        packets,
        transport,
        ..
    } = link;
    let packets = packets.counted(metrics.clone());
    let mut carrying = JoinSet::new();
    carrying.spawn(transport.carry(outbox.clone(), metrics.clone()));
    let end = tokio::select! {
        end = Session::new(shared).run(packets, drain) => end,
        Some(carried) = carrying.join_next() => match carried {
            Ok(error) => End::Broken(error),
            Err(error) => End::Panicked(error),
        },
    };
    outbox.close();
    match &end {
        End::Drained => {
            let last_words = tokio::time::timeout(LAST_WORDS, carrying.join_next()).await;
            tracing::info!(server, in_time = last_words.is_ok(), "drained");
        }
        End::ServerLeft => tracing::info!(server, "the server ended the stream"),
        End::Broken(_) | End::Panicked(_) => {
            metrics
                .server_failures
                .with_label_values(&["from_server"])
                .inc();
            let error = chain(&end);
            tracing::warn!(error, server, "the stream to a server broke");
        }
    }
    Event::Ended { server, key, began }
}
