use std::{pin::pin, sync::Mutex, time::Duration};

use futures::{FutureExt as _, future::join_all, poll};
use tokio::time::{Instant, advance};
use tower::{BoxError, ServiceExt as _};
use tower_test::mock::{self, Handle, Mock};
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

use super::*;
use rpc_layers::deadline::ServerDeadlineLayer;

type Reply = Result<Response<Body>, BoxError>;
type Inner = Mock<Request<()>, Response<Body>>;
type Backend = Handle<Request<()>, Response<Body>>;

fn settings(delay: &str, capacity: Option<&str>) -> DelaySettings {
    DelaySettings {
        service: "user",
        delay: delay.parse().unwrap(),
        error_rate: ErrorRate::ZERO,
        capacity: capacity.map(|capacity| capacity.parse().unwrap()),
        allow_overrides: true,
    }
}

fn backend(settings: DelaySettings) -> (Delay<Inner>, Backend) {
    let (mock, handle) = mock::pair();
    (DelayLayer::new(settings).layer(mock), handle)
}

/// Answers all requests. Returns their number.
fn answering(mut handle: Backend) -> tokio::task::JoinHandle<usize> {
    tokio::spawn(async move {
        let mut calls = 0;
        while let Some((_, reply)) = handle.next_request().await {
            calls += 1;
            reply.send_response(Response::new(Body::empty()));
        }
        calls
    })
}

fn request(baggage: &str) -> Request<()> {
    Request::builder().header("baggage", baggage).body(()).unwrap()
}

fn code(reply: &Reply) -> Code {
    Status::from_header_map(reply.as_ref().unwrap().headers()).map_or(Code::Ok, |status| status.code())
}

#[tokio::test(start_paused = true)]
async fn every_request_takes_its_delay() {
    let (service, handle) = backend(settings("300ms", None));
    let served = answering(handle);
    let start = Instant::now();
    let replies = join_all((0..3).map(|_| service.clone().oneshot(Request::new(())))).await;
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(start.elapsed(), Duration::from_millis(300), "delays overlap");
    drop(service);
    assert_eq!(served.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn baggage_overrides_the_delay_if_allowed() {
    for (allow_overrides, millis) in [(true, 20), (false, 300)] {
        let (service, handle) = backend(DelaySettings { allow_overrides, ..settings("300ms", None) });
        answering(handle);
        let start = Instant::now();
        service.oneshot(request("a=b,user.delay=20ms,country.delay=1s")).await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(millis));
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_baggage_is_rejected_if_overrides_are_allowed() {
    for (allow_overrides, expected, calls) in [(true, Code::InvalidArgument, 0), (false, Code::Ok, 1)] {
        let (service, handle) = backend(DelaySettings { allow_overrides, ..settings("0", None) });
        let served = answering(handle);
        assert_eq!(code(&service.oneshot(request("user.delay=never")).await), expected);
        assert_eq!(served.await.unwrap(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn capacity_bounds_the_requests_at_a_time() {
    for (capacity, millis) in [("1", 600), ("2", 300), ("6", 100), ("100", 100)] {
        let (service, handle) = backend(settings("100ms", Some(capacity)));
        answering(handle);
        let start = Instant::now();
        join_all((0..6).map(|_| service.clone().oneshot(Request::new(())))).await;
        assert_eq!(start.elapsed(), Duration::from_millis(millis), "capacity {capacity}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_first_come_first_served() {
    let (service, handle) = backend(settings("10ms", Some("1")));
    answering(handle);
    let order = Mutex::new(Vec::new());
    let calls = (0..8).map(|number| {
        let call = service.clone().oneshot(Request::new(()));
        let order = &order;
        async move {
            call.await.unwrap();
            order.lock().unwrap().push(number);
        }
    });
    join_all(calls).await;
    assert_eq!(order.into_inner().unwrap(), (0..8).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_held_until_the_reply() {
    let (service, mut handle) = backend(settings("0", Some("1")));
    let mut first = pin!(service.clone().oneshot(Request::new(())));
    let mut second = pin!(service.oneshot(Request::new(())));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    let (_, reply) = handle.next_request().await.unwrap();
    assert!(handle.next_request().now_or_never().is_none(), "the second waits for the first's reply");
    reply.send_response(Response::new(Body::empty()));
    first.await.unwrap();
    assert!(poll!(&mut second).is_pending());
    assert!(handle.next_request().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_releases_its_permit() {
    let (service, handle) = backend(settings("100ms", Some("1")));
    let served = answering(handle);
    let start = Instant::now();
    let mut delayed = Box::pin(service.clone().oneshot(Request::new(())));
    let mut queued = Box::pin(service.clone().oneshot(Request::new(())));
    let mut last = Box::pin(service.oneshot(Request::new(())));
    assert!(poll!(&mut delayed).is_pending());
    assert!(poll!(&mut queued).is_pending());
    assert!(poll!(&mut last).is_pending());
    advance(Duration::from_millis(40)).await;
    drop(queued);
    drop(delayed);
    last.await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(140), "the last starts when the first is gone");
    assert_eq!(served.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_error_rate_is_the_share_that_fails() {
    for (rate, failed) in [("0", 0..=0), ("0.5", 400..=600), ("1", 1_000..=1_000)] {
        let (service, handle) = backend(DelaySettings { error_rate: rate.parse().unwrap(), ..settings("0", None) });
        let served = answering(handle);
        let replies = join_all((0..1_000).map(|_| service.clone().oneshot(Request::new(())))).await;
        let faults = replies.iter().filter(|reply| code(reply) == Code::Unavailable).count();
        assert!(failed.contains(&faults), "rate {rate}: {faults}");
        drop(service);
        assert_eq!(served.await.unwrap(), 1_000 - faults, "a failed request never reaches the service");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_marked_as_injected() {
    let (service, _handle) = backend(settings("50ms", None));
    let start = Instant::now();
    let reply = service.oneshot(request("user.error-rate=100%25")).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(50), "a fault has the delay of a reply");
    let status = Status::from_header_map(reply.headers()).unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INJECTED_FAULT", "fanout"));
    assert_eq!(info.metadata["service"], "user");
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_the_request_asked_for_is_marked_as_its_making_and_one_of_the_settings_is_not() {
    for (baggage, is_callers) in [("user.error-rate=1", true), ("user.delay=0", false)] {
        let (service, _handle) = backend(DelaySettings { error_rate: "1".parse().unwrap(), ..settings("0", None) });
        let reply = service.oneshot(request(baggage)).await.unwrap();
        assert_eq!(blame::is_callers(reply.headers()), is_callers, "{baggage}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outer_deadline_ends_the_delay_and_releases_the_permit() {
    let (service, handle) = backend(settings("3s", Some("1")));
    let served = answering(handle);
    let bounded = ServerDeadlineLayer::new(None).layer(service.clone());
    let start = Instant::now();
    let hasty = Request::builder().header("grpc-timeout", "100m").body(()).unwrap();
    assert_eq!(code(&bounded.oneshot(hasty).await), Code::DeadlineExceeded);
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(3_100));
    assert_eq!(served.await.unwrap(), 1);
}

/// Collects spans as `parent/name`, and fields recorded later as `name.field`.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl<S> tracing_subscriber::Layer<S> for Spans
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let parent = context.span(id).unwrap().parent().map_or("", |parent| parent.name());
        self.0.lock().unwrap().push(format!("{parent}/{}", attributes.metadata().name()));
    }

    fn on_record(
        &self,
        id: &tracing::Id,
        values: &tracing::span::Record<'_>,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let name = context.span(id).unwrap().name();
        let mut noted = self.0.lock().unwrap();
        values.record(&mut |field: &tracing::field::Field, _: &dyn std::fmt::Debug| {
            noted.push(format!("{name}.{field}"));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn only_waits_have_spans() {
    let spans = Spans::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone().boxed()));
    let noted = || std::mem::take(&mut *spans.0.lock().unwrap());
    let (service, handle) = backend(settings("0", Some("1")));
    answering(handle);
    let call = |baggage| {
        let future = service.clone().oneshot(request(baggage));
        Box::pin(tracing::Instrument::instrument(future, info_span!("server")))
    };

    call("").await.unwrap();
    assert_eq!(noted(), ["/server"]);

    let mut first = call("user.delay=10ms");
    assert!(poll!(&mut first).is_pending());
    let second = call("");
    let (first, second) = futures::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(noted(), ["/server", "server/delay", "/server", "server/queue"]);

    let mut delayed = call("user.delay=10ms");
    let mut queued = call("");
    assert!(poll!(&mut delayed).is_pending() && poll!(&mut queued).is_pending());
    noted();
    drop((queued, delayed));
    assert_eq!(noted(), ["queue.fanout.cancelled", "delay.fanout.cancelled"]);
}
