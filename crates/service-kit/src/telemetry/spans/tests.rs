//! What is exported is, field by field, what `tracing-opentelemetry` and OpenTelemetry's SDK export of the same spans.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::{
    tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, any_value::Value},
        trace::v1::{ResourceSpans, Span},
    },
    transform::trace::tonic::group_spans_by_resource_and_scope,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use prost::Message as _;
use rpc_layers::{
    CallContext,
    trace::{
        AttemptInfo, ClientTraceLayer, DecidedIds, EndGuard, HeadSampler, KnownMethods, ServerTraceLayer, SpanSlot,
        UNRECORDED_SPAN, link,
    },
};
use tonic::{Status, body::Body};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tracing::{Dispatch, field::Empty, info_span};
use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _};

use super::*;

const LIMITS: Limits = Limits { attributes: 128, links: 128 };

/// Keeps what the SDK exports.
#[derive(Clone, Debug, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// An error with a cause.
#[derive(Debug, thiserror::Error)]
#[error("no user")]
struct NoUser(#[source] io::Error);

fn resource() -> Resource {
    Resource::builder_empty().with_service_name("shop").build()
}

fn sampler() -> HeadSampler {
    HeadSampler::new(Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOn))))
}

fn queue(max_spans: usize, max_batch: usize) -> Arc<Queue> {
    Arc::new(Queue::new(QueueSettings { max_spans, max_batch, delay: Duration::from_secs(1) }))
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() != UNRECORDED_SPAN
}

/// Returns what this crate exports of what `work` does.
fn by_layer(limits: Limits, work: impl FnOnce()) -> ResourceSpans {
    let queue = queue(100, 100);
    let layer = SpanLayer::new(Arc::clone(&queue), Box::new(Sampler::AlwaysOn), limits, is_exported);
    let subscriber = tracing_subscriber::registry().with(sampler()).with(layer);
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), work);
    let batch = queue.take().unwrap();
    assert_eq!((queue.len(), queue.lost()), (0, 0));
    let head = Envelope::new(&resource(), "fanout").head(batch.encoded.len());
    let request = ExportTraceServiceRequest::decode(&*[&head[..], &batch.encoded].concat()).unwrap();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), batch.spans);
    request.resource_spans.into_iter().next().unwrap()
}

/// Returns what the SDK exports of it.
fn by_sdk(work: impl FnOnce()) -> ResourceSpans {
    let exported = Exported::default();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(DecidedIds::default())
        .with_resource(resource())
        .with_simple_exporter(exported.clone())
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("fanout"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false);
    let subscriber = tracing_subscriber::registry().with(sampler()).with(layer.with_filter(filter_fn(is_exported)));
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), work);
    let spans = std::mem::take(&mut *exported.0.lock().unwrap());
    let resource = (&resource()).into();
    group_spans_by_resource_and_scope(spans, &resource).into_iter().next().unwrap()
}

/// Puts names in place of ids, and nothing in place of times, which differ.
fn comparable(mut exported: ResourceSpans) -> ResourceSpans {
    let spans = &mut exported.scope_spans[0].spans;
    let names: BTreeMap<_, _> =
        spans.iter().map(|span| (span.span_id.clone(), span.name.clone().into_bytes())).collect();
    let name = |id: &[u8]| names.get(id).cloned().unwrap_or_else(|| id.to_vec());
    let known_trace = |trace: &[u8]| if trace == REMOTE_TRACE.to_be_bytes() { trace.to_vec() } else { vec![0] };
    for span in &mut *spans {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert!(0 < span.start_time_unix_nano && span.start_time_unix_nano <= span.end_time_unix_nano, "{span:#?}");
        let Span { trace_id, span_id, parent_span_id, links, start_time_unix_nano, end_time_unix_nano, .. } = span;
        (*start_time_unix_nano, *end_time_unix_nano) = (0, 0);
        (*trace_id, *span_id, *parent_span_id) = (known_trace(trace_id), Vec::new(), name(parent_span_id));
        for link in links {
            (link.trace_id, link.span_id) = (known_trace(&link.trace_id), name(&link.span_id));
        }
    }
    spans.sort_by(|a, b| a.name.cmp(&b.name));
    exported
}

const REMOTE_TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

/// Spans with everything that `tracing` can record.
fn many_spans() {
    let root = info_span!("root", later = Empty, otel.status_code = Empty, otel.status_description = Empty);
    root.in_scope(|| {
        let error = NoUser(io::Error::other("closed"));
        let values = info_span!(
            "values",
            otel.name = "named",
            otel.kind = "Producer",
            yes = true,
            no = false,
            negative = -7,
            int = i64::MAX,
            unsigned = 8_080_u16,
            huge = u128::MAX,
            double = 0.25,
            nothing = 0.0,
            text = "ü".repeat(100),
            empty = "",
            long = "x".repeat(20_000),
            display = %std::net::Ipv4Addr::LOCALHOST,
            debug = ?Some("x"),
            otel.other = "kept",
            error = &error as &dyn std::error::Error,
        );
        values.record("text", "again");
        let inside = values.in_scope(|| info_span!("inside", otel.kind = %"consumer", otel.name = %"formatted"));
        link(&inside, &values);
        inside.follows_from(&values);
    });
    root.record("later", 5_u64);
    root.record("otel.status_code", "ERROR");
    root.record("otel.status_code", "unheard of");
    root.record("otel.status_description", "why");
    let ok = info_span!(parent: None, "ok", otel.kind = "unheard of", otel.status_code = "ok");
    drop(info_span!(parent: &ok, "never entered", otel.status_code = "error"));
    ok.record("otel.status_code", "error");
}

/// Answers after a call of its own, as a gateway does.
async fn handle(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut call =
        Request::post("http://backend:50052/fanout.user.v1.UserService/GetUser").body(Body::empty()).unwrap();
    CallContext::of(request.extensions(), request.headers()).insert_into(call.extensions_mut());
    let backend = service_fn(|call: Request<Body>| async move {
        assert!(call.headers().contains_key("traceparent"));
        assert_eq!(call.headers()["tracestate"], "shop=1");
        Ok::<_, Infallible>(Status::unavailable("down").into_http::<Body>())
    });
    let meter = None;
    let client = ClientTraceLayer::new(&"http://backend:50052".parse().unwrap(), meter).layer(backend);
    let work = info_span!("work", width = 1_usize);
    let reply = tracing::Instrument::instrument(client.oneshot(call), work).await;
    drop(reply);
    Ok(Status::unavailable("down").into_http())
}

/// A request that continues a trace, with its call.
fn a_request() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let methods = KnownMethods::decode(fanout_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut server = ServerTraceLayer::new(methods, None).layer(service_fn(handle));
        for path in ["fanout.gateway.v1.GatewayService/GetProfile", "un/known"] {
            let request = Request::post(format!("http://gateway:50051/{path}"))
                .header("traceparent", format!("00-{REMOTE_TRACE:032x}-b7ad6b7169203331-01"))
                .header("tracestate", "shop=1");
            let reply = server.call(request.body(Body::empty()).unwrap()).await.unwrap();
            let ids = reply.headers()["traceresponse"].to_str().unwrap();
            assert!(ids.starts_with(&format!("00-{REMOTE_TRACE:032x}-")) && ids.ends_with("-01"), "{ids}");
        }
    });
}

fn similar(ours: &ResourceSpans, theirs: &ResourceSpans) {
    let spans = |exported: &ResourceSpans| exported.scope_spans[0].spans.clone();
    for (ours, theirs) in spans(ours).iter().zip(&spans(theirs)) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours, theirs);
}

#[test]
fn spans_are_exported_as_the_sdk_does() {
    let (ours, theirs) = (comparable(by_layer(LIMITS, many_spans)), comparable(by_sdk(many_spans)));
    assert_eq!(ours.scope_spans[0].spans.len(), 5);
    similar(&ours, &theirs);
}

#[test]
fn a_request_and_its_call_are_exported_as_the_sdk_does() {
    let (ours, theirs) = (comparable(by_layer(LIMITS, a_request)), comparable(by_sdk(a_request)));
    assert_eq!(ours.scope_spans[0].spans.len(), 6);
    similar(&ours, &theirs);
}

#[test]
fn a_span_has_no_more_than_the_limits() {
    let exported = by_layer(Limits { attributes: 3, links: 1 }, || {
        let span = info_span!("span", one = 1, two = 2, three = Empty, four = Empty);
        span.record("three", 3);
        span.record("four", 4);
        (0..3).for_each(|_| link(&span, &span));
    });
    let span = &exported.scope_spans[0].spans[0];
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (3, 1));
    assert_eq!((span.links.len(), span.dropped_links_count), (1, 2));
}

/// Its formatting needs the ids of the span that it is a field of, as a log line does.
struct Logs(tracing::Span);

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.with_subscriber(|(id, dispatch)| rpc_layers::trace::span_context(id, dispatch)).flatten();
        write!(f, "{}", ids.is_some())
    }
}

#[test]
fn a_span_ends_when_it_was_left_last_or_was_ended() {
    let exported = by_layer(LIMITS, || {
        for ended in [false, true] {
            let first = info_span!("first", ended);
            let (left, second) = (first.enter(), info_span!("second", ended));
            drop(left);
            let guard = ended.then(|| EndGuard::new(&first));
            drop(guard);
            drop(second);
            let third = info_span!("third", ended);
            first.in_scope(|| drop(third));
        }
    });
    let spans = &exported.scope_spans[0].spans;
    for ended in [false, true] {
        let time = |name| {
            let is_it = |span: &&Span| {
                span.name == name && span.attributes[0].value == Some(AnyValue { value: Some(Value::BoolValue(ended)) })
            };
            spans.iter().find(is_it).unwrap().end_time_unix_nano
        };
        assert_eq!(time("first") < time("third"), ended);
    }
}

#[test]
fn a_span_that_is_kept_after_it_was_left_has_ended_before() {
    let exported = by_layer(LIMITS, || {
        let kept = info_span!("kept");
        kept.in_scope(|| ());
        drop(info_span!("later"));
        drop(kept);
    });
    let spans = &exported.scope_spans[0].spans;
    let span = |name| spans.iter().find(|span| span.name == name).unwrap();
    assert!(span("kept").end_time_unix_nano <= span("later").start_time_unix_nano);
}

#[tokio::test]
async fn the_span_of_a_call_ends_with_its_reply_whoever_keeps_it() {
    let queue = queue(100, 100);
    let layer = SpanLayer::new(Arc::clone(&queue), Box::new(Sampler::AlwaysOn), LIMITS, is_exported);
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let backend = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Status::ok("").into_http::<Body>()) });
    let client = ClientTraceLayer::new(&"http://backend:50052".parse().unwrap(), None).layer(backend);
    let slot = SpanSlot::default();
    let mut call = Request::post("http://backend:50052/a.B/C").body(Body::empty()).unwrap();
    let attempt = AttemptInfo { number: 1, span: Some(slot.clone()) };
    CallContext::default().insert_attempt_into(attempt, call.extensions_mut());
    drop(client.oneshot(call).await);
    drop(info_span!("later"));
    slot.record("fanout.hedge", "won");
    drop(slot);
    let batch = queue.take().unwrap();
    let head = Envelope::new(&resource(), "fanout").head(batch.encoded.len());
    let request = ExportTraceServiceRequest::decode(&*[&head[..], &batch.encoded].concat()).unwrap();
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    let [after, call] = &spans[..] else { panic!("the call's is kept longer: {spans:#?}") };
    assert!(call.end_time_unix_nano <= after.start_time_unix_nano, "{spans:#?}");
}

#[test]
fn a_value_may_log_while_it_is_formatted() {
    let exported = by_layer(LIMITS, || {
        let span = info_span!("span", value = Empty);
        span.record("value", tracing::field::debug(Logs(span.clone())));
    });
    assert!(format!("{exported:?}").contains("StringValue(\"true\")"), "{exported:?}");
}

#[test]
fn a_full_queue_loses_spans_and_counts_them() {
    let queue = queue(5, 2);
    (0..7_u8).for_each(|number| queue.push(&[number]));
    assert_eq!((queue.len(), queue.lost()), (5, 2));
    let taken: Vec<_> = std::iter::from_fn(|| queue.take()).map(|batch| batch.spans).collect();
    assert_eq!(taken, [2, 2, 1]);
    queue.push(&[7]);
    assert_eq!((queue.len(), queue.lost()), (1, 2), "there is room again");
    queue.close();
    queue.push(&[8]);
    assert_eq!((queue.len(), queue.lost()), (1, 2), "nobody waits for what comes after the end");
}

#[tokio::test(start_paused = true)]
async fn spans_wait_for_a_whole_batch_or_for_the_delay() {
    let queue = queue(10, 2);
    let begun = tokio::time::Instant::now();
    queue.push(&[1]);
    assert!(queue.wait().await);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
    queue.push(&[2]);
    assert!(queue.wait().await);
    assert_eq!(begun.elapsed(), Duration::from_secs(1), "a batch is whole");
    queue.close();
    assert!(!queue.wait().await);
}
