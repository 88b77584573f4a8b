//! When a request was received.

use http::Extensions;
use tokio::time::Instant;

/// When the headers of a request were received. A layer that lets a request wait before it calls
/// [`ServerDeadlineLayer`](super::ServerDeadlineLayer) puts it into the request's extensions: the deadline is counted from
/// there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received(Instant);

// === impl Received ===

impl Received {
    pub(crate) fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// Returns when the request with these extensions was received: now, if no layer has let it wait.
    pub(crate) fn of(extensions: &Extensions) -> Instant {
        extensions.get().map_or_else(Instant::now, |&Self(instant)| instant)
    }
}
