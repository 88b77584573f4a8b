//! Decides before a span is made whether a request is recorded.

use std::cell::Cell;

use opentelemetry::{
    Context as OtelContext,
    trace::{SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SamplingDecision, ShouldSample};
use tracing::{Metadata, Span, Subscriber, subscriber::Interest};
use tracing_subscriber::{Layer, filter::LevelFilter, layer::Context};

use super::span_ids::{self, SpanIds};

/// The name of the spans of requests that are not recorded. They have ids, for log lines, replies and calls, but neither
/// fields nor children.
pub const UNRECORDED_SPAN: &str = "unrecorded";

thread_local! {
    /// The trace id of the span that is made next on this thread, if it has been decided on.
    static DECIDED: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Head sampling: decides before the span of a request is made whether it is recorded, by a sampler of OpenTelemetry's
/// SDK.
///
/// Without it, a span that is not sampled costs about as much as one that is, until it is thrown away. With it, a request
/// that is not sampled has one span, [`UNRECORDED_SPAN`], which has ids and nothing else, and makes no others.
///
/// It is a layer of the subscriber by itself, below that of `tracing-opentelemetry`, whose filter has to leave out
/// [`UNRECORDED_SPAN`]. The SDK has to have the same sampler, and [`DecidedIds`] as its generator of ids: it decides again,
/// for the same trace id, and so alike.
///
/// ```
/// use opentelemetry::trace::TracerProvider as _;
/// use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
/// use rpc_layers::trace::{DecidedIds, HeadSampler, UNRECORDED_SPAN};
/// use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _};
///
/// let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.01)));
/// let provider = SdkTracerProvider::builder()
///     .with_sampler(sampler.clone())
///     .with_id_generator(DecidedIds::default())
///     .build();
/// let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
/// let recorded = filter_fn(|metadata| metadata.name() != UNRECORDED_SPAN);
/// let subscriber =
///     tracing_subscriber::registry().with(HeadSampler::new(Box::new(sampler))).with(spans.with_filter(recorded));
/// # drop(subscriber);
/// ```
#[derive(Debug)]
pub struct HeadSampler {
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
    records: bool,
    max_level: LevelFilter,
}

/// Generates the ids of spans: random ones, but the trace ids that [`HeadSampler`] has decided on.
#[derive(Clone, Debug, Default)]
pub struct DecidedIds(RandomIdGenerator);

/// What was decided for a request.
#[derive(Debug)]
pub(super) enum Decision {
    /// It is recorded. If it begins a trace, with this id.
    Record(TraceId),
    /// It is not, and has these ids.
    Leave(SpanContext),
}

// === impl HeadSampler ===

impl HeadSampler {
    /// Decides by this sampler. It is asked without the attributes of the span.
    pub fn new(sampler: Box<dyn ShouldSample>) -> Self {
        Self { sampler, ids: RandomIdGenerator::default(), records: true, max_level: LevelFilter::TRACE }
    }

    /// Records nothing. Trace context has the flag that the sampler decides on all the same, for services that record.
    #[must_use]
    pub fn without_recording(self) -> Self {
        Self { records: false, ..self }
    }

    /// Says up to which level layers without a filter of their own want anything: TRACE by default. What is above is not
    /// even looked at, if no filter wants it.
    #[must_use]
    pub fn max_level_hint(self, max_level: LevelFilter) -> Self {
        Self { max_level, ..self }
    }

    /// Decides about a request with this name. `parent` is the span that it continues, if it continues one.
    fn decide(&self, name: &str, parent: &OtelContext) -> Decision {
        let span = parent.span();
        let parent_ids = span.span_context();
        let trace_id = if parent_ids.is_valid() { parent_ids.trace_id() } else { self.ids.new_trace_id() };
        let result = self.sampler.should_sample(Some(parent), trace_id, name, &SpanKind::Server, &[], &[]);
        if result.decision != SamplingDecision::Drop && self.records {
            return Decision::Record(trace_id);
        }
        let is_sampled = result.decision == SamplingDecision::RecordAndSample;
        let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        Decision::Leave(SpanContext::new(trace_id, self.ids.new_span_id(), flags, false, result.trace_state))
    }
}

/// Decides about a request. Returns `None` if the subscriber has no [`HeadSampler`].
pub(super) fn decide(name: &str, parent: &OtelContext) -> Option<Decision> {
    tracing::dispatcher::get_default(|dispatch| Some(dispatch.downcast_ref::<HeadSampler>()?.decide(name, parent)))
}

/// Returns the trace id that was decided on for the span that is being made on this thread, at most once: the span begins a
/// trace with it, and is recorded. For layers that record spans themselves, without [`DecidedIds`].
pub fn decided_trace_id() -> Option<TraceId> {
    DECIDED.take()
}

/// Lets the next span on this thread that begins a trace have this trace id.
pub(super) fn set_next_trace_id(id: Option<TraceId>) {
    DECIDED.set(id);
}

/// Returns the span of a request that is not recorded.
pub(super) fn unrecorded_span(ids: SpanContext) -> Span {
    let span = tracing::info_span!(UNRECORDED_SPAN);
    span.with_subscriber(|(id, dispatch)| span_ids::insert(id, dispatch, SpanIds::root(ids)));
    span
}

// A filter of one layer could not do this: a span is made if no layer but that one wants it.
impl<S: Subscriber> Layer<S> for HeadSampler {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // If nothing is recorded, the filters of other layers leave spans out once and for all.
        if self.records && metadata.is_span() { Interest::sometimes() } else { Interest::always() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, ctx: Context<'_, S>) -> bool {
        let is_in_unrecorded = || ctx.current_span().metadata().is_some_and(|span| span.name() == UNRECORDED_SPAN);
        !metadata.is_span() || !is_in_unrecorded()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max_level)
    }
}

// === impl DecidedIds ===

impl IdGenerator for DecidedIds {
    fn new_trace_id(&self) -> TraceId {
        decided_trace_id().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{TraceState, TracerProvider as _};
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _};

    use super::*;
    use crate::trace::span_context_of;

    fn caller(flags: TraceFlags) -> OtelContext {
        let ids = SpanContext::new(TraceId::from(7), SpanId::from(8), flags, true, TraceState::NONE);
        OtelContext::new().with_remote_span_context(ids)
    }

    fn parent_based(root: Sampler) -> HeadSampler {
        HeadSampler::new(Box::new(Sampler::ParentBased(Box::new(root))))
    }

    /// Returns the trace id, and the flags of a request that is not recorded.
    fn left(decision: &Decision) -> (TraceId, TraceFlags) {
        match decision {
            Decision::Leave(ids) if ids.is_valid() && !ids.is_remote() => (ids.trace_id(), ids.trace_flags()),
            _ => panic!("{decision:?}"),
        }
    }

    #[test]
    fn a_callers_flag_counts_more_than_the_rest() {
        let decision = parent_based(Sampler::AlwaysOn).decide("call", &caller(TraceFlags::NOT_SAMPLED));
        assert_eq!(left(&decision), (TraceId::from(7), TraceFlags::NOT_SAMPLED));
        let decision = parent_based(Sampler::AlwaysOff).decide("call", &caller(TraceFlags::SAMPLED));
        assert!(matches!(decision, Decision::Record(id) if id == TraceId::from(7)), "{decision:?}");
        let decision = parent_based(Sampler::AlwaysOff).decide("call", &OtelContext::new());
        assert_eq!(left(&decision).1, TraceFlags::NOT_SAMPLED);
    }

    #[test]
    fn who_records_nothing_passes_on_what_others_decide() {
        let nothing = || parent_based(Sampler::AlwaysOn).without_recording();
        assert_eq!(left(&nothing().decide("call", &OtelContext::new())).1, TraceFlags::SAMPLED);
        let unsampled = caller(TraceFlags::NOT_SAMPLED);
        assert_eq!(left(&nothing().decide("call", &unsampled)), (TraceId::from(7), TraceFlags::NOT_SAMPLED));
    }

    #[test]
    fn a_request_that_is_not_recorded_has_ids_and_no_other_spans() {
        let provider = SdkTracerProvider::builder().with_id_generator(DecidedIds::default()).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let recorded = filter_fn(|metadata| metadata.name() != UNRECORDED_SPAN).with_max_level_hint(LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry()
            .with(parent_based(Sampler::AlwaysOn).max_level_hint(LevelFilter::INFO))
            .with(spans.with_filter(recorded))
            .with(tracing_subscriber::fmt::layer().with_writer(std::io::sink).with_filter(LevelFilter::INFO));
        assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::INFO));
        tracing::subscriber::with_default(subscriber, || {
            let Some(Decision::Leave(ids)) = decide("call", &caller(TraceFlags::NOT_SAMPLED)) else {
                panic!("the layer is found, and leaves it out");
            };
            let span = unrecorded_span(ids.clone());
            assert_eq!(span_context_of(&span), Some(ids.clone()));
            assert!(span.in_scope(|| tracing::info_span!("inside")).is_disabled());
            assert_eq!(span.in_scope(|| span_context_of(&Span::current())), Some(ids));

            set_next_trace_id(Some(TraceId::from(9)));
            let outside = tracing::info_span!("outside");
            assert_eq!(span_context_of(&outside).map(|ids| ids.trace_id()), Some(TraceId::from(9)));
            let next = tracing::info_span!("next");
            assert_ne!(span_context_of(&next).map(|ids| ids.trace_id()), Some(TraceId::from(9)));
        });
    }
}
