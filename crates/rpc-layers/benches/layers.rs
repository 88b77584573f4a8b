//! What each layer adds to a service that is ready at once, whose reply has one message: `cargo bench -p rpc-layers`. The
//! first row is the service alone.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use divan::{AllocProfiler, Bencher};
use futures::FutureExt as _;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body::Body as HttpBody;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rpc_layers::{
    body_timeout::BodyTimeoutLayer,
    conformance::ConformanceLayer,
    deadline::{ClientDeadlineLayer, Deadline, ServerDeadlineLayer},
    limit::InFlightLimitLayer,
    trace::{ClientTraceLayer, KnownMethods, ServerTraceLayer},
};
use tokio::runtime::{Builder, Runtime};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing_subscriber::layer::SubscriberExt as _;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const LIMIT: Duration = Duration::from_secs(10);

fn main() {
    divan::main();
}

/// Answers at once.
#[derive(Clone)]
struct ReadyService;

impl Service<Request<Body>> for ReadyService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        drop(request);
        ready(Ok(Response::new(Body::default())))
    }
}

fn request() -> Request<Body> {
    let mut request = Request::post("http://127.0.0.1/fanout.user.v1.UserService/GetUser")
        .header(CONTENT_TYPE, "application/grpc")
        .header("grpc-timeout", "9S")
        .body(Body::default())
        .expect("a request");
    request.extensions_mut().insert(Deadline::after(LIMIT));
    request
}

/// Makes requests of a layer around the service, and reads the replies to the end.
fn bench<L, B>(bencher: Bencher<'_, '_>, layer: &L)
where
    L: Layer<ReadyService, Service: Service<Request<Body>, Response = Response<B>, Error: Debug>>,
    B: HttpBody,
{
    let runtime = runtime();
    let _runtime = runtime.enter();
    let mut service = layer.layer(ReadyService);
    let mut cx = Context::from_waker(Waker::noop());
    bencher.with_inputs(request).bench_local_values(|request| {
        assert!(service.poll_ready(&mut cx).is_ready(), "nothing holds it back");
        let reply = service.call(request).now_or_never().expect("it is ready").expect("it answers");
        let mut body = pin!(reply.into_body());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
            divan::black_box(frame.is_ok());
        }
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime without IO needs nothing")
}

/// The methods of no contract.
fn methods() -> KnownMethods {
    KnownMethods::decode(&[]).expect("no descriptors")
}

#[divan::bench]
fn a_service_alone(bencher: Bencher<'_, '_>) {
    bench(bencher, &tower::layer::util::Identity::new());
}

#[divan::bench]
fn body_timeout(bencher: Bencher<'_, '_>) {
    bench(bencher, &BodyTimeoutLayer::new(LIMIT, None));
}

#[divan::bench]
fn limit(bencher: Bencher<'_, '_>) {
    bench(bencher, &InFlightLimitLayer::new(1_000, 25, methods(), None));
}

#[divan::bench]
fn server_deadline(bencher: Bencher<'_, '_>) {
    bench(bencher, &ServerDeadlineLayer::new(Some(LIMIT)));
}

#[divan::bench]
fn client_deadline(bencher: Bencher<'_, '_>) {
    bench(bencher, &ClientDeadlineLayer::new());
}

#[divan::bench]
fn conformance(bencher: Bencher<'_, '_>) {
    bench(bencher, &ConformanceLayer::decode(&[]).expect("no descriptors"));
}

/// Nobody takes spans or log lines.
#[divan::bench]
fn server_trace_without_subscriber(bencher: Bencher<'_, '_>) {
    bench(bencher, &ServerTraceLayer::new(methods(), None));
}

#[divan::bench]
fn server_trace(bencher: Bencher<'_, '_>) {
    recorded(|| bench(bencher, &ServerTraceLayer::new(methods(), None)));
}

#[divan::bench]
fn client_trace(bencher: Bencher<'_, '_>) {
    let layer = ClientTraceLayer::new(&"http://127.0.0.1:50052".parse().expect("an address"), None);
    recorded(|| bench(bencher, &layer));
}

/// Runs with every span recorded, and exported to nobody.
fn recorded(run: impl FnOnce()) {
    let provider = SdkTracerProvider::builder().build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), run);
}
