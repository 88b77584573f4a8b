//! Requests that are more work than others.

use http::Extensions;
use rpc_layers::{
    limit::{InFlightLimitLayer, Permit},
    rate_limit::RateLimitLayer,
};
use tonic::Status;

/// Counts a request as several, because it is as much work: against the limits of a [`Server`](crate::serve::Server) on the
/// requests in flight and on their rate. Clones share the limits.
#[derive(Clone, Debug)]
pub struct WorkBudget {
    limit: InFlightLimitLayer,
    rate_limit: RateLimitLayer,
}

// === impl WorkBudget ===

impl WorkBudget {
    pub(crate) fn new(limit: InFlightLimitLayer, rate_limit: RateLimitLayer) -> Self {
        Self { limit, rate_limit }
    }

    /// Counts the request with these extensions as `requests`, of which the server has counted one. Those in flight are
    /// counted until the permit is dropped, or [given back](Permit::shrink_to) as the work is done.
    ///
    /// A request of any weight can be served: it counts as a [share](crate::serve::ServerLimits::max_share) of the requests
    /// in flight at most, and as a burst of the rate at most.
    ///
    /// # Errors
    ///
    /// Returns the status to reply with if the caller has too many requests in flight, or makes too many.
    pub fn count_as(&self, requests: usize, extensions: &Extensions) -> Result<Permit, Status> {
        let more = requests.saturating_sub(1);
        self.rate_limit.count_more(extensions, more)?;
        self.limit.acquire_more(extensions, more)
    }
}
