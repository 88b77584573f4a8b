//! The reply to requests above the limit, and their metrics.

use std::time::{Duration, Instant};

use http::Uri;
use opentelemetry::metrics::{Counter, Meter};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::RateLimit;
use crate::{
    caller_key::CallerKey,
    throttle::Throttle,
    trace::{CallDuration, KnownMethods},
};

/// The reply to rejected requests.
#[derive(Debug)]
pub(super) struct Rejection {
    limit: RateLimit,
    methods: KnownMethods,
    /// `None` if no meter was given.
    metrics: Option<Metrics>,
    warnings: Throttle,
}

/// The metrics of rejected requests.
#[derive(Debug)]
pub(super) struct Metrics {
    rejected: Counter<u64>,
    duration: CallDuration,
}

// === impl Rejection ===

impl Rejection {
    pub(super) fn new(limit: RateLimit, methods: KnownMethods, metrics: Option<Metrics>) -> Self {
        Self { limit, methods, metrics, warnings: Throttle::default() }
    }

    /// Records a request to this address that was rejected before it began.
    pub(super) fn record_request(&self, uri: &Uri) {
        if let Some(Metrics { duration, .. }) = &self.metrics {
            duration.record(&self.methods.method(uri), Duration::ZERO, Code::ResourceExhausted);
        }
        self.record();
    }

    /// Counts a rejected request, and logs a warning if the last one is long ago.
    pub(super) fn record(&self) {
        if let Some(Metrics { rejected, .. }) = &self.metrics {
            rejected.add(1, &[]);
        }
        if let Some(others) = self.warnings.allow(Instant::now()) {
            let RateLimit { per_second, burst } = self.limit;
            tracing::warn!(per_second, burst, others, "requests are rejected: their caller makes too many");
        }
    }

    /// Returns the reply to a request of this caller that may come again after this time.
    pub(super) fn status(&self, caller: Option<CallerKey>, wait: Duration) -> Status {
        let RateLimit { per_second, burst } = self.limit;
        let kind = caller.map_or("address", CallerKey::kind);
        let limit = [
            ("rate_limit".to_owned(), format!("{per_second}/s")),
            ("rate_limit_burst".to_owned(), burst.to_string()),
            ("caller".to_owned(), kind.to_owned()),
        ];
        let mut details = ErrorDetails::with_error_info("RATE_LIMIT_EXCEEDED", "fanout", limit);
        details.set_retry_info(Some(wait));
        let message = format!("too many requests of this {kind}: {per_second} a second are allowed");
        Status::with_error_details(Code::ResourceExhausted, message, details)
    }
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let rejected = meter
            .u64_counter("fanout.server.rate_limited")
            .with_unit("{request}")
            .with_description("Requests rejected because their caller had made too many")
            .build();
        // A series that started with the first rejection would hide it: a rate needs an earlier value.
        rejected.add(0, &[]);
        Self { rejected, duration: CallDuration::of_server(meter) }
    }
}
