//! Lists of traces.

use std::time::Duration;

use serde::Serialize;

use crate::{
    analyst::Analysed,
    api::{Context, query::Query, respond::ApiError},
    store::{
        filter::Filter,
        trace::{Brief, Snapshot},
    },
};

/// How many traces a list has, unless the request says.
const DEFAULT_LIMIT: usize = 50;

/// How many spans are analysed for one list. It ends there, and can be continued.
const MAX_ANALYSED: usize = 20_000;

/// How many services of a trace are named.
const MAX_SERVICES: usize = 64;

/// How many bytes of a service's name are shown, and of an operation's in a list. In a file both may have megabytes; an
/// operation may anywhere, and 256 summaries may wait for a reader of events.
const MAX_NAME: usize = 1 << 10;

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
    let (mut traces, mut analysed) = (Vec::new(), 0);
    let next = context.store.scan(
        query.before,
        |trace| query.filter.may_match(trace),
        |snapshot| {
            if query.filter.has_operation(&snapshot) {
                if snapshot.brief.is_none() {
                    analysed += snapshot.overview.spans;
                }
                let brief = context.analyst.brief(&context.store, &snapshot);
                if query.filter.min_avoidable.is_none_or(|min| brief.avoidable >= min) {
                    traces.push(Summary::new(&snapshot, &brief));
                }
            }
            traces.len() >= query.limit || analysed >= MAX_ANALYSED
        },
    );
    List { traces, next: next.map(|number| number.to_string()) }
}

/// Returns a duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the beginning of a name that is very long.
pub(super) fn shortened(name: &str) -> String {
    let shown = &name[..name.floor_char_boundary(MAX_NAME)];
    if shown.len() < name.len() { format!("{shown}…") } else { name.to_owned() }
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

// === impl Root ===

impl Root {
    fn new(service: &str, name: &str) -> Self {
        Self { service: shortened(service), name: shortened(name) }
    }
}

// === impl Summary ===

impl Summary {
    /// Returns the summary of a trace of the store.
    pub(crate) fn new(snapshot: &Snapshot, brief: &Brief) -> Self {
        let overview = &snapshot.overview;
        let (service, name) = snapshot.root();
        let services = overview.services.iter().map(|service| shortened(service)).collect();
        Self::with(&snapshot.id, Root::new(&service, &name), overview.spans, services, brief)
    }

    /// Returns the summary of a trace that was just analysed.
    pub(crate) fn of(analysed: &Analysed) -> Self {
        let trace = &analysed.trace;
        let root = trace.root().map(|root| trace.span(root));
        let root = root.map_or(Root::new("", ""), |root| Root::new(&root.service, &root.name));
        let mut services: Vec<&str> = Vec::new();
        for span in trace.spans() {
            if services.len() < MAX_SERVICES && !services.contains(&&*span.service) {
                services.push(&span.service);
            }
        }
        let services = services.into_iter().map(shortened).collect();
        Self::with(&trace.id().0, root, trace.spans().len(), services, &analysed.brief())
    }

    fn with(id: &[u8; 16], root: Root, spans: usize, services: Vec<String>, brief: &Brief) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit")]
        let start_ms = (brief.start / 1_000) as f64 / 1_000.0;
        Self {
            trace_id: overlap::hex::encode(id),
            root,
            start: brief.start.to_string(),
            start_ms,
            duration: nanos(brief.duration),
            spans,
            errors: brief.errors,
            services,
            avoidable: nanos(brief.avoidable),
            saved: nanos(brief.saved),
            certainty: brief.certainty,
            complete: brief.complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_very_long_names_are_shortened() {
        let longest = "ä".repeat(MAX_NAME / 2);
        assert_eq!(shortened(&longest), longest);
        assert_eq!(shortened(&format!("x{longest}")), format!("x{}…", "ä".repeat(MAX_NAME / 2 - 1)));
    }
}
