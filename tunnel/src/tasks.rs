//! Tasks with names and an owner: nothing is detached, and a panic is seen.
//!
//! In: futures. Out: their ends, one by one. Dropping the set ends every task in it at once.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

/// The tasks of one owner.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task panicked: what it held is gone, what it shared may be half done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task {0} panicked")]
pub struct Panicked(pub &'static str);

impl Tasks {
    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(task).id();
        self.names.insert(id, name);
    }

    /// How many have not been seen to end.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether all were seen to end.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The end of the next task; never resolves while there is none. Safe to cancel.
    ///
    /// # Errors
    /// It panicked; the panic's message and place were printed when it happened.
    pub async fn ended(&mut self) -> Result<(), Panicked> {
        let Some(ended) = self.set.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, result) = match ended {
            Ok((id, ())) => (id, Ok(())),
            Err(error) => (error.id(), if error.is_panic() { Err(()) } else { Ok(()) }),
        };
        let name = self.names.remove(&id).unwrap_or("unnamed");
        result
            .map_err(|()| Panicked(name))
            .inspect_err(|error| tracing::error!(%error))
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// The first panic; the others still run and are ended when the set is dropped.
    pub async fn all_ended(&mut self) -> Result<(), Panicked> {
        while !self.is_empty() {
            self.ended().await?;
        }
        Ok(())
    }

    /// Ends all of them now, and waits until they are gone.
    pub async fn shutdown(mut self) {
        self.set.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn panic_names_its_task() {
        let mut tasks = Tasks::default();
        tasks.spawn("well", async {});
        tasks.spawn("ill", async { panic!("on purpose") });
        assert_eq!(tasks.all_ended().await, Err(Panicked("ill")));
    }

    #[tokio::test]
    async fn dropping_the_owner_ends_its_tasks() {
        let held = Arc::new(());
        let mut tasks = Tasks::default();
        let inside = Arc::clone(&held);
        tasks.spawn("endless", async move {
            std::future::pending::<()>().await;
            drop(inside);
        });
        assert_eq!(tasks.len(), 1);
        tasks.shutdown().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
