//! What readers of events are told.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    api::{Context, status, traces::Summary},
    events::Feed,
    store::trace::StoredTrace,
};

/// A trace of more spans takes a while to analyse. While it grows it is told once a second, and less often if that takes
/// more than a tenth of the time.
const LARGE: usize = 2_000;
const PAUSE: Duration = Duration::from_secs(1);
const SHARE: u32 = 10;

/// Tells of the store.
#[derive(Debug)]
pub(super) struct StoreFeed {
    context: Arc<Context>,
    /// When the next large trace may be told.
    next_large: Mutex<Option<Instant>>,
}

// === impl StoreFeed ===

impl StoreFeed {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, next_large: Mutex::default() }
    }
}

impl Feed for StoreFeed {
    fn next_trace(&self) -> Option<impl Serialize> {
        let Context { store, analyst, .. } = &*self.context;
        let begun = Instant::now();
        let may_be_large = self.next_large.lock().is_none_or(|next| next <= begun);
        let is_large = |spans: usize, analysed: bool| spans > LARGE && !analysed;
        let wanted = |trace: &StoredTrace| may_be_large || !is_large(trace.spans(), trace.brief.is_some());
        let snapshot = store.next_changed(wanted)?;
        let brief = analyst.brief(store, &snapshot);
        if is_large(snapshot.overview.spans, snapshot.brief.is_some()) {
            *self.next_large.lock() = Some(Instant::now() + PAUSE.max(begun.elapsed() * SHARE));
        }
        Some(Summary::new(&snapshot, &brief))
    }

    fn forget(&self) {
        self.context.store.forget_changes();
    }

    fn status(&self) -> serde_json::Value {
        status::document(&self.context)
    }
}
