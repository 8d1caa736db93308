//! Leaving in order: one [`Trigger`], any number of [`Watcher`]s, three stages.
//!
//! `Running` → `Draining` (take nothing new, finish what is there) → `Forced` (end now). A stage
//! never goes back. In comes a signal or a deadline, out comes a future each part can wait on.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Normal work.
    #[default]
    Running,
    /// Nothing new is taken; what is there may finish.
    Draining,
    /// Everything ends now.
    Forced,
}

/// Starts and forces the shutdown.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<Stage>);

/// Sees the shutdown come.
#[derive(Clone, Debug)]
pub struct Watcher(watch::Receiver<Stage>);

/// A connected pair in stage `Running`.
pub fn channel() -> (Trigger, Watcher) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Trigger(sender), Watcher(receiver))
}

impl Trigger {
    /// Moves to `Draining`, unless already there or further.
    pub fn start(&self) {
        self.advance(Stage::Draining);
    }

    /// Moves to `Forced`.
    pub fn force(&self) {
        self.advance(Stage::Forced);
    }

    /// Another watcher of this trigger.
    pub fn watcher(&self) -> Watcher {
        Watcher(self.0.subscribe())
    }

    /// Waits for the drain to begin, then for `deadline`, then forces. Zero means no deadline.
    pub async fn force_after(&self, deadline: Duration) {
        let mut watcher = self.watcher();
        watcher.draining().await;
        if deadline.is_zero() {
            return watcher.forced().await;
        }
        tokio::select! {
            () = tokio::time::sleep(deadline) => self.force(),
            () = watcher.forced() => {}
        }
    }

    /// Turns SIGINT and SIGTERM into stages: the first starts the drain, the second forces it.
    /// Listens from now on; the future given back acts, and ends once it is forced.
    pub fn follow_signals(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let trigger = self.clone();
        Ok(async move {
            for stage in [Stage::Draining, Stage::Forced] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                tracing::info!(?stage, "signal received");
                trigger.advance(stage);
            }
        })
    }

    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let further = *current < stage;
            *current = stage.max(*current);
            further
        });
    }
}

impl Watcher {
    /// The stage right now.
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.stage() >= Stage::Draining
    }

    /// Resolves once the drain has begun; at once if it already has.
    pub async fn draining(&mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Resolves once everything must end.
    pub async fn forced(&mut self) {
        self.reached(Stage::Forced).await;
    }

    /// A trigger that is gone can start nothing: then this never resolves.
    async fn reached(&mut self, stage: Stage) {
        if self.0.wait_for(|current| *current >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stages_only_go_forward() {
        let (trigger, mut watcher) = channel();
        assert!(!watcher.is_draining());
        trigger.start();
        watcher.draining().await;
        trigger.force();
        trigger.start();
        assert_eq!(watcher.stage(), Stage::Forced);
        watcher.forced().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_counts_from_the_start_of_the_drain() {
        let (trigger, mut watcher) = channel();
        let deadline = trigger.force_after(Duration::from_secs(30));
        let scenario = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            assert_eq!(watcher.stage(), Stage::Running);
            trigger.start();
            let begun = tokio::time::Instant::now();
            watcher.forced().await;
            assert_eq!(begun.elapsed(), Duration::from_secs(30));
        };
        tokio::join!(deadline, scenario);
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_forces_nothing() {
        let (trigger, mut watcher) = channel();
        trigger.start();
        let waited = tokio::time::timeout(
            Duration::from_hours(24),
            trigger.force_after(Duration::ZERO),
        );
        assert!(waited.await.is_err());
        watcher.draining().await;
        assert_eq!(watcher.stage(), Stage::Draining);
    }
}
