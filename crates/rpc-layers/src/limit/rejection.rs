//! The replies to requests above the limit, and their metrics.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::{HeaderMap, Response, Uri};
use http_body::Body;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{body::LimitedBody, share::Exceeded};
use crate::{
    caller_key::CallerKey,
    throttle::Throttle,
    trace::{CallDuration, KnownMethods},
};

/// When a rejected caller should come back. Nobody knows when a permit is released.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The replies to rejected requests. Built once: they are needed most when there is least time.
#[derive(Debug)]
pub(super) struct Rejection {
    max: usize,
    all: HeaderMap,
    /// By the kind of caller that has more than its share.
    share: HashMap<&'static str, HeaderMap>,
    methods: KnownMethods,
    /// `None` if no meter was given.
    metrics: Option<Metrics>,
    warnings: Throttle,
}

#[derive(Debug)]
struct Metrics {
    shed: Counter<u64>,
    duration: CallDuration,
}

// === impl Rejection ===

impl Rejection {
    pub(super) fn new(max: usize, max_share: u8, methods: KnownMethods, meter: Option<&Meter>) -> Self {
        let headers = |status: Status| status.into_http::<String>().into_parts().0.headers;
        let share = CallerKey::KINDS.map(|kind| (kind, headers(share_exceeded(max, max_share, kind))));
        Self {
            max,
            all: headers(all_in_flight(max)),
            share: HashMap::from(share),
            methods,
            metrics: meter.map(Metrics::new),
            warnings: Throttle::default(),
        }
    }

    /// Records a request to this address that was rejected before it began.
    pub(super) fn record_request(&self, exceeded: Exceeded<CallerKey>, uri: &Uri) {
        if let Some(Metrics { duration, .. }) = &self.metrics {
            duration.record(&self.methods.method(uri), Duration::ZERO, Code::ResourceExhausted);
        }
        self.record(exceeded);
    }

    /// Counts a rejected request, and logs a warning if the last one is long ago.
    pub(super) fn record(&self, exceeded: Exceeded<CallerKey>) {
        if let Some(Metrics { shed, .. }) = &self.metrics {
            shed.add(1, &[reason(exceeded)]);
        }
        if let Some(others) = self.warnings.allow(Instant::now()) {
            tracing::warn!(max_in_flight = self.max, others, "requests are rejected: too many in flight");
        }
    }

    /// Returns the reply. It has no body: its headers are its trailers too.
    pub(super) fn response<B: Body>(&self, exceeded: Exceeded<CallerKey>) -> Response<LimitedBody<B>> {
        let mut response = Response::new(LimitedBody::empty());
        *response.headers_mut() = self.headers(exceeded).clone();
        response
    }

    /// Returns the status of the reply.
    pub(super) fn status(&self, exceeded: Exceeded<CallerKey>) -> Status {
        Status::from_header_map(self.headers(exceeded)).expect("they have a status")
    }

    fn headers(&self, exceeded: Exceeded<CallerKey>) -> &HeaderMap {
        match exceeded {
            Exceeded::All => &self.all,
            Exceeded::Share(caller) => &self.share[caller.kind()],
        }
    }
}

fn all_in_flight(max: usize) -> Status {
    let limit = HashMap::from([("max_in_flight".to_owned(), max.to_string())]);
    let mut details = ErrorDetails::with_error_info("TOO_MANY_REQUESTS_IN_FLIGHT", "fanout", limit);
    details.set_retry_info(Some(RETRY_DELAY));
    let message = format!("too many requests in flight: the limit is {max}");
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn share_exceeded(max: usize, max_share: u8, kind: &str) -> Status {
    let limit = HashMap::from([
        ("max_in_flight".to_owned(), max.to_string()),
        ("max_share".to_owned(), format!("{max_share}%")),
        ("caller".to_owned(), kind.to_owned()),
    ]);
    let mut details = ErrorDetails::with_error_info("SHARE_OF_REQUESTS_EXCEEDED", "fanout", limit);
    details.set_retry_info(Some(RETRY_DELAY));
    let message = format!(
        "too many requests in flight: the limit is {max}, and this {kind} has more of them than what is left allows"
    );
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Returns why a request was rejected, as an attribute.
fn reason(exceeded: Exceeded<CallerKey>) -> KeyValue {
    let reason = match exceeded {
        Exceeded::All => "all",
        Exceeded::Share(_) => "share",
    };
    KeyValue::new("fanout.limit", reason)
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
        for limit in ["all", "share"] {
            shed.add(0, &[KeyValue::new("fanout.limit", limit)]);
        }
        Self { shed, duration: CallDuration::of_server(meter) }
    }
}
