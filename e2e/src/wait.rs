//! Level-triggered waits: ask again until it is so, or say what was seen last.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};

/// What one look found.
#[derive(Debug)]
pub enum Seen<T> {
    /// It is so.
    Yes(T),
    /// Not yet; this is how it stands.
    NotYet(String),
}

/// Looks every `PAUSE` until [`Seen::Yes`]; errors of a look count as "not yet".
pub async fn until<T, F, Fut>(what: &str, limit: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Seen<T>>>,
{
    const PAUSE: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + limit;
    loop {
        let last = match look().await {
            Ok(Seen::Yes(found)) => return Ok(found),
            Ok(Seen::NotYet(state)) => state,
            Err(error) => error.chain(),
        };
        if Instant::now() >= deadline {
            return Err(Error::Late {
                what: what.to_owned(),
                limit,
                last,
            });
        }
        sleep(PAUSE).await;
    }
}

/// Runs `step`, and returns how long it took as well.
pub async fn timed<T>(step: impl Future<Output = Result<T>>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let value = step.await?;
    Ok((value, start.elapsed()))
}
