//! Lists of traces.

use serde::Serialize;

use crate::{
    api::{Context, query::Query, respond::ApiError},
    store::{
        filter::Filter,
        trace::{Brief, Snapshot},
    },
};

/// How many traces a list has, unless the request says.
const DEFAULT_LIMIT: usize = 50;

/// Which traces to list.
#[derive(Debug)]
pub(super) struct ListQuery {
    filter: Filter,
    limit: usize,
    /// The number of a trace: older ones are listed.
    before: Option<u64>,
}

/// The document of `/api/traces`.
#[derive(Debug, Serialize)]
pub(super) struct List {
    traces: Vec<Summary>,
    next: Option<String>,
}

/// A trace in a list.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    trace_id: String,
    root: Root,
    /// Nanoseconds since the Unix epoch.
    start: String,
    start_ms: f64,
    duration: u64,
    spans: usize,
    errors: usize,
    services: Vec<String>,
    avoidable: u64,
    saved: u64,
    certainty: &'static str,
    complete: bool,
}

#[derive(Debug, Serialize)]
struct Root {
    service: String,
    name: String,
}

/// Returns the document.
pub(super) fn list(context: &Context, query: &ListQuery) -> List {
    let mut traces = Vec::new();
    let next = context.store.scan(
        query.before,
        |trace| query.filter.may_match(trace),
        |snapshot| {
            if query.filter.has_operation(&snapshot) {
                traces.push(Summary::new(&snapshot, None));
            }
            traces.len() >= query.limit
        },
    );
    List { traces, next: next.map(|number| number.to_string()) }
}

/// Returns an id in hexadecimal.
pub(crate) fn hex(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::with_capacity(2 * id.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

// === impl ListQuery ===

impl ListQuery {
    pub(super) fn parse(query: &str) -> Result<Self, ApiError> {
        let query = Query::new(query);
        Ok(Self {
            filter: Filter {
                service: query.text("service"),
                operation: query.text("operation"),
                min_duration: query.duration("min_duration")?,
                max_duration: query.duration("max_duration")?,
                error: query.bool("error")?,
                min_avoidable: query.duration("min_avoidable")?,
            },
            limit: query.number("limit", 1..=500)?.unwrap_or(DEFAULT_LIMIT),
            before: query.number("before", 0..=u64::MAX)?,
        })
    }
}

// === impl Summary ===

impl Summary {
    pub(crate) fn new(snapshot: &Snapshot, brief: Option<&Brief>) -> Self {
        let overview = &snapshot.overview;
        let (service, name) = snapshot.root();
        let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
        let start_ms = (overview.start / 1_000) as f64 / 1_000.0;
        Self {
            trace_id: hex(&snapshot.id),
            root: Root { service: service.to_string(), name },
            start: overview.start.to_string(),
            start_ms,
            duration: nanos(overview.duration()),
            spans: overview.spans,
            errors: overview.errors,
            services: overview.services.iter().map(ToString::to_string).collect(),
            avoidable: brief.map_or(0, |brief| nanos(brief.avoidable)),
            saved: brief.map_or(0, |brief| nanos(brief.saved)),
            certainty: brief.map_or("unknown", |brief| brief.certainty),
            complete: brief.map_or(snapshot.has_root(), |brief| brief.complete),
        }
    }
}
