//! The reply to requests above the limit, and their metrics.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use http::{HeaderMap, Response, Uri};
use http_body::Body;
use opentelemetry::metrics::{Counter, Meter};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::body::LimitedBody;
use crate::trace::{CallDuration, KnownMethods};

/// The shortest time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// The reply to all rejected requests. Built once: it is needed most when there is least time.
#[derive(Debug)]
pub(super) struct Rejection {
    max: usize,
    headers: HeaderMap,
    methods: KnownMethods,
    /// `None` if no meter was given.
    metrics: Option<Metrics>,
    started: Instant,
    /// When the next warning may be logged, in milliseconds after `started`.
    next_warning: AtomicU64,
}

#[derive(Debug)]
struct Metrics {
    shed: Counter<u64>,
    duration: CallDuration,
}

// === impl Rejection ===

impl Rejection {
    pub(super) fn new(max: usize, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let limit = HashMap::from([("max_in_flight".to_owned(), max.to_string())]);
        let details = ErrorDetails::with_error_info("TOO_MANY_REQUESTS_IN_FLIGHT", "fanout", limit);
        let message = format!("too many requests in flight: the limit is {max}");
        let status = Status::with_error_details(Code::ResourceExhausted, message, details);
        Self {
            max,
            headers: status.into_http::<String>().into_parts().0.headers,
            methods,
            metrics: meter.map(Metrics::new),
            started: Instant::now(),
            next_warning: AtomicU64::new(0),
        }
    }

    /// Counts a rejected request to this address, and logs a warning if the last one is long ago.
    pub(super) fn record(&self, uri: &Uri) {
        if let Some(Metrics { shed, duration }) = &self.metrics {
            shed.add(1, &[]);
            duration.record(&self.methods.method(uri), Duration::ZERO, Code::ResourceExhausted);
        }
        let (now, next) = (millis(self.started.elapsed()), self.next_warning.load(Ordering::Relaxed));
        // Of several threads at once, one logs the warning.
        let relaxed = Ordering::Relaxed;
        if now >= next
            && self.next_warning.compare_exchange(next, now + millis(WARNING_INTERVAL), relaxed, relaxed).is_ok()
        {
            tracing::warn!(max_in_flight = self.max, "requests are rejected: too many in flight");
        }
    }

    /// Returns the reply. It has no body: its headers are its trailers too.
    pub(super) fn response<B: Body>(&self) -> Response<LimitedBody<B>> {
        let mut response = Response::new(LimitedBody::empty());
        *response.headers_mut() = self.headers.clone();
        response
    }
}

// === impl Metrics ===

impl Metrics {
    fn new(meter: &Meter) -> Self {
        let shed = meter
            .u64_counter("fanout.server.shed")
            .with_unit("{request}")
            .with_description("Requests rejected because too many were in flight")
            .build();
        // A series that started with the first rejection would hide it: a rate needs an earlier value.
        shed.add(0, &[]);
        Self { shed, duration: CallDuration::of_server(meter) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
