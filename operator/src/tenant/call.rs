//! One request, with an end: a tenant that hangs must not hold anybody longer than this.

use std::fmt;
use std::time::Duration;

/// How long one request may take.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answered in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Nobody answered, or with something that does not read.
    #[error("{}", Chain(.0))]
    Failed(Box<kube::Error>),
}

impl CallError {
    /// The HTTP status of an answer that refuses.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::TimedOut(_) => None,
        }
    }
}

/// Waits for a request, but not for ever.
pub async fn call<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    call_within(LIMIT, request).await
}

/// The same, for as long as is said.
pub async fn call_within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| CallError::Failed(Box::new(error))),
        Err(_) => Err(CallError::TimedOut(limit)),
    }
}

/// An error with its causes, for a condition's message: there is no other place to look them up.
#[derive(Debug)]
pub struct Chain<'a, E: ?Sized>(pub &'a E);

impl<E: std::error::Error + ?Sized> fmt::Display for Chain<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        write!(f, "{said}")?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}
