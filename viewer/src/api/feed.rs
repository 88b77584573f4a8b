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
        self.0.store.next_changed().map(|snapshot| Summary::new(&snapshot, None))
    }

    fn forget(&self) {
        self.0.store.forget_changes();
    }

    fn status(&self) -> serde_json::Value {
        status::document(&self.0)
    }
}
