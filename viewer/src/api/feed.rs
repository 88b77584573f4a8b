//! What readers of events are told.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    api::{Context, status, traces::Summary},
    events::Feed,
};

/// Tells of the store.
#[derive(Debug)]
pub(super) struct StoreFeed(pub(super) Arc<Context>);

impl Feed for StoreFeed {
    fn next_trace(&self) -> Option<impl Serialize> {
        let snapshot = self.0.store.next_changed()?;
        let brief = self.0.analyst.brief(&self.0.store, &snapshot);
        Some(Summary::new(&snapshot, &brief))
    }

    fn forget(&self) {
        self.0.store.forget_changes();
    }

    fn status(&self) -> serde_json::Value {
        status::document(&self.0)
    }
}
