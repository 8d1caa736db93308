//! Keeps a session to every server: carries out the [`Plan`].
//!
//! Tries and sessions are tasks of one set; the loop only hears of their ends, of new counts and of
//! the drain, and asks the plan what is next. It ends when the agent is drained or forced to end.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::connect::{ConnectError, Connector};
use super::dial::Dialer;
use super::link::{Link, Surroundings};
use super::metrics::Metrics;
use super::plan::{Plan, SessionKey, Verdict};
use super::session::End;
use super::words::{self, Said, Word, Words};
use crate::drain::Watcher;
use crate::fault::Fault;
use crate::register::connection::Peer;
use crate::telemetry::chain;

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

/// The loop's tasks.
struct Running {
    tasks: JoinSet<Event>,
    /// Sessions among them, those with leaving servers included.
    sessions: usize,
    /// Where sessions say what their servers said.
    say: mpsc::Sender<Said>,
}

/// What the tasks of the set report.
enum Event {
    Tried(Result<Box<Link>, ConnectError>),
    Parted,
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
        let (say, mut said) = words::channel();
        let mut running = Running {
            tasks: JoinSet::new(),
            sessions: 0,
            say,
        };
        let mut is_trying = false;
        let mut drain = self.drain.clone();
        let mut forced = self.drain.clone();
        loop {
            self.publish(&plan);
            let next_try = plan
                .next_try()
                .filter(|_| !is_trying && !drain.is_draining());
            if drain.is_draining() && running.sessions == 0 {
                return Ok(());
            }
            tokio::select! {
                () = sleep_until(next_try.unwrap_or_else(Instant::now)), if next_try.is_some() => {
                    is_trying = true;
                    let connector = self.connector.clone();
                    running.tasks.spawn(async move { Event::Tried(connector.open().await) });
                }
                Some(event) = running.tasks.join_next() => match event {
                    Ok(Event::Tried(tried)) => {
                        is_trying = false;
                        self.tried(&mut plan, &mut running, tried);
                    }
                    Ok(Event::Ended { server, key, began }) => {
                        running.sessions -= 1;
                        plan.ended(&server, key, began.elapsed(), (Instant::now(), rand::random()));
                    }
                    Ok(Event::Parted) => {}
                    Err(error) => return Err(error),
                },
                Some((key, word)) = said.recv() => match word {
                    Word::Count(count) => plan.reported(count, Instant::now()),
                    Word::Leaving => plan.leaving(key, Instant::now(), rand::random()),
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
        running: &mut Running,
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
                let (fault, error) = (error.fault().as_str(), chain(&error));
                tracing::warn!(error, fault, retry_in = ?delay, "no stream to a server");
                return;
            }
        };
        if self.drain.is_draining() {
            return;
        }
        match plan.opened(&link.server, link.count, now, rand::random()) {
            Verdict::Duplicate => {
                tracing::debug!(server = link.server, "already connected to this server");
                running.tasks.spawn(async move {
                    link.wire.part().await;
                    Event::Parted
                });
            }
            Verdict::Keep(key) => {
                tracing::info!(
                    server = link.server,
                    count = link.count,
                    wire = link.wire.name(),
                    "connected to a server"
                );
                let around = Surroundings {
                    dialer: Arc::clone(&self.dialer),
                    metrics: self.metrics.clone(),
                    drain: self.drain.clone(),
                    words: Words::new(running.say.clone(), key),
                    place: self
                        .metrics
                        .open_servers
                        .enter(Peer::new(&link.server, link.wire.name())),
                };
                running.sessions += 1;
                running.tasks.spawn(live(link, key, around));
            }
        }
    }

    fn publish(&self, plan: &Plan) {
        self.metrics
            .known_servers
            .set(i64::try_from(plan.known()).unwrap_or(i64::MAX));
    }
}

/// One session from the first dial to the last byte, and the log's line about its end.
async fn live(link: Box<Link>, key: SessionKey, around: Surroundings) -> Event {
    let began = Instant::now();
    let metrics = around.metrics.clone();
    let (server, wire) = (link.server, link.wire);
    let end = Box::pin(wire.live(around)).await;
    match &end {
        End::Drained => tracing::info!(server, "drained"),
        End::ServerLeft => tracing::info!(server, "the server ended the stream"),
        End::Broken(_) | End::Panicked(_) => {
            metrics
                .server_failures
                .with_label_values(&["from_server"])
                .inc();
            let fault = match end {
                End::Panicked(_) => Fault::Agent.as_str(),
                _ => Fault::Server.as_str(),
            };
            let error = chain(&end);
            tracing::warn!(error, fault, server, "the stream to a server broke");
        }
    }
    Event::Ended { server, key, began }
}
