//! What a server says about servers while its session lives, on the way to the plan.
//!
//! In: words of one session. Out: the same words with the session's key, on the queue that
//! [`super::servers`] reads. The queue is short: whoever reads it waits for nobody.

use tokio::sync::mpsc;

use super::plan::SessionKey;

/// Words that may wait.
const WAITING: usize = 16;

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// How many servers there are now.
    Count(usize),
    /// No new dials come from it: it is leaving.
    Leaving,
}

/// Whose word it was, and the word.
pub type Said = (SessionKey, Word);

/// One session's way to the plan.
#[derive(Clone, Debug)]
pub struct Words {
    plan: mpsc::Sender<Said>,
    key: SessionKey,
}

/// The two ends of the queue.
pub fn channel() -> (mpsc::Sender<Said>, mpsc::Receiver<Said>) {
    mpsc::channel(WAITING)
}

impl Words {
    /// Of the session with this key.
    pub fn new(plan: mpsc::Sender<Said>, key: SessionKey) -> Self {
        Self { plan, key }
    }

    /// Tells the plan. Nobody listening any more means that the agent ends.
    pub async fn say(&self, word: Word) {
        if self.plan.send((self.key, word)).await.is_err() {
            tracing::debug!(?word, "nobody plans any more");
        }
    }
}
