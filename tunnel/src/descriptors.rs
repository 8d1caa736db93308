//! How many files this process may have open: every connection is one.
//! In: nothing. Out: the soft limit, raised to the hard one, as Go's runtime does for the reference.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has when the system names no limit at all.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit to the hard one and answers what it is now.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, ?limit, "cannot raise the limit of open files");
            limit.current
        }
    };
    usize::try_from(now.unwrap_or(UNLIMITED)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #[test]
    fn limit_is_raised_as_far_as_allowed() {
        let first = super::raise_limit();
        assert!(first >= 256, "{first}");
        assert_eq!(super::raise_limit(), first);
    }
}
