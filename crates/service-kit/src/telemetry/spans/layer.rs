//! A layer of the subscriber that writes each span as OTLP when it ends.

use std::{
    cell::Cell,
    iter,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry::{
    Context as OtelContext,
    trace::{SpanContext, SpanKind, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SamplingDecision, ShouldSample};
use rpc_layers::trace::{SpanIds, decided_trace_id, has_end_guard};
use tracing::{
    Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    fields::Fields,
    otlp::{Head, Kind, put_head, put_name},
    queue::Queue,
};

/// Room for a span of a call with its attributes.
const SPAN_SIZE: usize = 512;

thread_local! {
    /// Where fields that are recorded later are encoded, before the span is locked for them.
    static LATER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Records spans, and hands them over as OTLP when they end.
///
/// It does what `tracing-opentelemetry` and the SDK do together, with a few allocations for a span in place of forty: a
/// span is encoded while it is recorded. It exports no events.
#[derive(Debug)]
pub(in crate::telemetry) struct SpanLayer {
    queue: Arc<Queue>,
    /// Decides about spans outside of requests; a request has been decided about.
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
    limits: Limits,
    exported: fn(&Metadata<'_>) -> bool,
}

/// How much a span may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) attributes: u32,
    pub(super) links: u32,
}

/// A span that has not ended, among the extensions that the registry keeps with it.
#[derive(Debug)]
struct Recording {
    fields: Fields,
    start: SystemTime,
    /// When it was left last, which is its end.
    end: Option<SystemTime>,
}

// === impl SpanLayer ===

impl SpanLayer {
    /// Records the spans that `exported` names.
    pub(super) fn new(
        queue: Arc<Queue>,
        sampler: Box<dyn ShouldSample>,
        limits: Limits,
        exported: fn(&Metadata<'_>) -> bool,
    ) -> Self {
        Self { queue, sampler, ids: RandomIdGenerator::default(), limits, exported }
    }

    /// Returns the ids of a span that begins a trace.
    fn root(&self, name: &str) -> SpanIds {
        let id = self.ids.new_span_id();
        if let Some(trace_id) = decided_trace_id() {
            let context = SpanContext::new(trace_id, id, TraceFlags::SAMPLED, false, TraceState::NONE);
            return SpanIds::root(context);
        }
        let trace_id = self.ids.new_trace_id();
        let result =
            self.sampler.should_sample(Some(&OtelContext::new()), trace_id, name, &SpanKind::Internal, &[], &[]);
        let is_sampled = result.decision == SamplingDecision::RecordAndSample;
        let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanIds::root(SpanContext::new(trace_id, id, flags, false, result.trace_state))
    }

    fn fields(&self, encoded: Vec<u8>, so_far: u32) -> Fields {
        Fields { encoded, max_attributes: self.limits.attributes.saturating_sub(so_far), ..Fields::default() }
    }

    /// Encodes the rest of a span that has ended.
    fn finish(&self, name: &str, ids: &SpanIds, recording: Recording) -> Vec<u8> {
        let Recording { mut fields, start, end } = recording;
        let mut span = std::mem::take(&mut fields.encoded);
        if !fields.is_named {
            put_name(&mut span, name);
        }
        let links = &ids.links()[..ids.links().len().min(self.limits.links as usize)];
        let head = Head {
            context: ids.context(),
            parent: ids.parent(),
            kind: fields.kind.unwrap_or(Kind::Internal),
            start: unix_nanos(start),
            end: unix_nanos(ids.end().or(end).unwrap_or_else(SystemTime::now)),
            dropped_attributes: fields.dropped,
            links,
            dropped_links: u32::try_from(ids.links().len() - links.len()).unwrap_or(u32::MAX),
            status: fields.status,
            description: &fields.description,
        };
        put_head(&mut span, &head);
        span
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if !(self.exported)(attrs.metadata()) {
            return;
        }
        let start = SystemTime::now();
        let Some(span) = ctx.span(id) else { return };
        let name = attrs.metadata().name();
        // Between it and its parent may be spans that are not exported.
        let of_parent = iter::successors(span.parent(), SpanRef::parent).find_map(|parent| {
            let context = parent.extensions().get::<SpanIds>()?.context().clone();
            Some(SpanIds::child_of(&context, self.ids.new_span_id()))
        });
        let ids = of_parent.unwrap_or_else(|| self.root(name));
        let recording = ids.context().is_sampled().then(|| {
            let mut fields = self.fields(Vec::with_capacity(SPAN_SIZE), 0);
            attrs.record(&mut fields);
            Recording { fields, start, end: None }
        });
        let mut extensions = span.extensions_mut();
        extensions.insert(ids);
        if let Some(recording) = recording {
            extensions.insert(recording);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let so_far = span.extensions().get::<Recording>().map(|recording| recording.fields.attributes);
        let Some(so_far) = so_far else { return };
        // A value is formatted by its own code, which may log, and reading the ids of a span for that would wait for the
        // lock.
        let mut later = self.fields(LATER.take(), so_far);
        values.record(&mut later);
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            recording.fields.add(&mut later);
        }
        later.encoded.clear();
        LATER.set(later.encoded);
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        let followed = ctx.span(follows).and_then(|span| Some(span.extensions().get::<SpanIds>()?.context().clone()));
        if let (Some(span), Some(followed)) = (ctx.span(id), followed)
            && let Some(ids) = span.extensions_mut().get_mut::<SpanIds>()
        {
            ids.add_link(followed);
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        if has_end_guard(id) {
            return;
        }
        if let Some(span) = ctx.span(id)
            && let Some(recording) = span.extensions_mut().get_mut::<Recording>()
        {
            recording.end = Some(SystemTime::now());
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(recording) = extensions.remove::<Recording>() else { return };
        let Some(ids) = extensions.get_mut::<SpanIds>() else { return };
        let encoded = self.finish(span.metadata().name(), ids, recording);
        drop(extensions);
        self.queue.push(&encoded);
    }
}

/// Returns the nanoseconds of Unix time.
fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().saturating_mul(1_000_000_000).saturating_add(since.subsec_nanos().into())
}
