//! Analyses traces: those that are looked at when they are, all others once they are whole, as far as there is time.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use overlap::{Analysis, Certainty, Evidence, Operation, Operations, Trace, TraceId};
use parking_lot::RwLock;
use prost::Message;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store::{
    RipeTrace, Store,
    source::{SharedSource, Source},
    trace::{Brief, Snapshot},
};

/// How often whole traces are looked for.
const TURN: Duration = Duration::from_millis(200);

/// How many traces are analysed in one go.
const AT_ONCE: usize = 64;

/// Analyses traces, and remembers what many have shown.
#[derive(Debug, Default)]
pub(crate) struct Analyst {
    operations: RwLock<Operations>,
    /// Requests of operations that are not kept. Beside them: the status does not wait for an analysis.
    dropped: AtomicU64,
    /// Traces that made room before they were analysed.
    missed: AtomicU64,
}

/// A trace and the verdict on it.
#[derive(Debug)]
pub(crate) struct Analysed {
    pub(crate) trace: Trace,
    pub(crate) analysis: Analysis,
}

// === impl Analyst ===

impl Analyst {
    /// Analyses whole traces until `stop`. Each counts once, in what is known of its operations.
    pub(crate) async fn run(self: Arc<Self>, store: Arc<Store>, stop: CancellationToken) {
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
            }
            let (analyst, store, stop) = (Arc::clone(&self), Arc::clone(&store), stop.clone());
            let worked = tokio::task::spawn_blocking(move || while !stop.is_cancelled() && analyst.work(&store) {});
            if let Err(error) = worked.await {
                tracing::error!(%error, "a trace could not be analysed");
            }
        }
    }

    /// Analyses some whole traces. Returns whether there may be more.
    fn work(&self, store: &Store) -> bool {
        let ripe = store.ripe(AT_ONCE);
        self.missed.fetch_add(ripe.missed, Ordering::Relaxed);
        for RipeTrace { snapshot, is_final } in &ripe.traces {
            let known = snapshot.brief.as_ref().map(|brief| brief.complete);
            let analysed = (*is_final || known != Some(false)).then(|| self.analyse_and_keep(store, snapshot));
            match analysed {
                Some(analysed) if *is_final || analysed.trace.is_complete() => {
                    let mut operations = self.operations.write();
                    operations.add(&analysed.trace, &analysed.analysis);
                    self.dropped.store(operations.dropped(), Ordering::Relaxed);
                }
                // The rest comes from another program, which sends later.
                _ => {
                    self.missed.fetch_add(u64::from(!store.ripen_later(snapshot)), Ordering::Relaxed);
                }
            }
        }
        ripe.more
    }

    /// Analyses a trace of the store, which keeps what lists show of it.
    fn analyse_and_keep(&self, store: &Store, snapshot: &Snapshot) -> Analysed {
        let analysed = self.analyse(snapshot.id, &messages(snapshot));
        store.set_brief(snapshot, &Arc::new(analysed.brief()));
        analysed
    }

    /// Analyses a trace. What other traces have shown counts too.
    pub(crate) fn analyse(&self, id: [u8; 16], spans: &[ResourceSpans]) -> Analysed {
        let trace = Trace::new(TraceId(id), trace_formats::to_overlap(spans));
        let analysis = Analysis::of(&trace, self.operations.read().evidence());
        Analysed { trace, analysis }
    }

    /// Returns what lists show of a trace, and keeps it in the store.
    pub(crate) fn brief(&self, store: &Store, snapshot: &Snapshot) -> Arc<Brief> {
        if let Some(brief) = &snapshot.brief {
            return Arc::clone(brief);
        }
        let brief = Arc::new(self.analyse(snapshot.id, &messages(snapshot)).brief());
        store.set_brief(snapshot, &brief);
        brief
    }

    /// Returns the operations, from the one that would gain most by joining.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.operations.read().ranked()
    }

    /// Returns how many requests were of operations that are not kept.
    pub(crate) fn operations_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns how many traces made room before they were analysed.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// Returns the spans of a trace as OTLP's messages, one for each source: decoded, a source may take much more than it
/// is counted with.
pub(crate) fn messages(snapshot: &Snapshot) -> Vec<ResourceSpans> {
    let mut messages: Vec<ResourceSpans> = Vec::new();
    let mut places: HashMap<*const SharedSource, usize> = HashMap::new();
    for (chunk, head) in snapshot.heads() {
        let place = *places.entry(Arc::as_ptr(&head.source)).or_insert_with(|| {
            messages.push(message(&head.source.source));
            messages.len() - 1
        });
        messages[place].scope_spans[0].spans.push(chunk.span(head));
    }
    messages
}

/// Returns the message of a source, without spans.
fn message(source: &Source) -> ResourceSpans {
    const DECODED: &str = "it was decoded when it came";
    ResourceSpans {
        resource: Some(Resource::decode(source.resource.clone()).expect(DECODED)),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope::decode(source.scope.clone()).expect(DECODED)),
            spans: Vec::new(),
            schema_url: source.scope_schema_url.to_string(),
        }],
        schema_url: source.resource_schema_url.to_string(),
    }
}

// === impl Analysed ===

impl Analysed {
    /// Analyses a trace by this evidence.
    pub(crate) fn by(trace: Trace, evidence: &Evidence) -> Self {
        let analysis = Analysis::of(&trace, evidence);
        Self { trace, analysis }
    }

    /// Returns what lists show.
    pub(crate) fn brief(&self) -> Brief {
        let sequences = self.analysis.fan_outs().iter().flat_map(|fan_out| &fan_out.sequences);
        let largest = sequences.filter(|sequence| !sequence.saves.is_zero()).max_by_key(|sequence| sequence.saves);
        let (start, end) = self.trace.bounds();
        Brief {
            avoidable: self.analysis.avoidable(),
            saved: self.analysis.saved(),
            // As of an operation: if there is nothing to save, what ran in turn had to.
            certainty: largest.map_or(Certainty::Dependent, |sequence| sequence.certainty).as_str(),
            complete: self.trace.is_complete(),
            start,
            duration: Duration::from_nanos(end.saturating_sub(start)),
            errors: self.trace.spans().iter().filter(|span| span.error).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Span;
    use tokio::time::advance;

    use super::*;

    /// Puts a span of a trace into the store: the trace's number, its own id and its parent's.
    fn put(store: &Store, trace: u8, id: u8, parent: Option<u8>) {
        let span = Span {
            trace_id: vec![trace; 16],
            span_id: vec![id; 8],
            parent_span_id: parent.map_or_else(Vec::new, |parent| vec![parent; 8]),
            end_time_unix_nano: u64::from(id),
            ..Span::default()
        };
        let spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let request =
            trace_formats::encode::otlp_protobuf(vec![ResourceSpans { scope_spans: spans, ..Default::default() }]);
        store.insert(store.decode(request.into()).unwrap());
    }

    fn count(analyst: &Analyst) -> u64 {
        analyst.operations().iter().map(|operation| operation.count).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_counts_once_when_nothing_more_can_be_expected() {
        let (store, analyst) = (Store::new(8 << 20), Analyst::default());
        put(&store, 1, 1, None);
        put(&store, 2, 1, None);
        put(&store, 2, 3, Some(2));
        put(&store, 3, 3, Some(2));
        advance(Duration::from_secs(5)).await;
        analyst.work(&store);
        assert_eq!(count(&analyst), 0, "programs send every five seconds");
        advance(Duration::from_secs(2)).await;
        analyst.work(&store);
        assert_eq!(count(&analyst), 1, "the others lack a parent");
        let snapshot = store.trace([2; 16]).unwrap();
        assert!(!snapshot.brief.expect("it is kept meanwhile").complete);
        // It comes, and the trace is whole a moment later.
        put(&store, 2, 2, Some(1));
        advance(Duration::from_secs(7)).await;
        analyst.work(&store);
        advance(Duration::from_mins(1)).await;
        analyst.work(&store);
        assert_eq!((count(&analyst), analyst.missed()), (3, 0));
        assert!(!store.ripe(AT_ONCE).more);
    }
}
