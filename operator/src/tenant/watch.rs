//! What wakes a tenant's task: somebody touched an object of ours in there.
//!
//! Metadata only, selected by our label: a change is all we need to know of, the next pass reads what it is. Nothing is
//! kept, and every kind is a stream on the one connection to the tenant, so a watch costs little more than its buffer.

use std::pin::Pin;

use futures_util::stream::{SelectAll, Stream, StreamExt as _};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};

use super::observe::{kinds, selector};

/// One item per change in the tenant.
pub(super) type Changes = SelectAll<Pin<Box<dyn Stream<Item = ()> + Send>>>;

/// Starts watching. Failures are retried with growing delay; the stream does not end.
pub(super) fn changes(tenant: &Client) -> Changes {
    let watches = kinds().into_iter().map(|resource| {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(tenant.clone(), &resource);
        let config = watcher::Config::default().labels(&selector());
        let events = watcher(api, config).default_backoff();
        let touched = events.filter_map(|event| std::future::ready(is_change(event)));
        Box::pin(touched) as Pin<Box<dyn Stream<Item = ()> + Send>>
    });
    watches.collect()
}

fn is_change<K>(event: Result<Event<K>, watcher::Error>) -> Option<()> {
    match event {
        // After a break something may be gone without a word.
        Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone) => Some(()),
        Ok(Event::Init | Event::InitApply(_)) => None,
        Err(error) => {
            tracing::debug!(error = %super::call::Chain(&error), "watching the tenant failed");
            None
        }
    }
}
