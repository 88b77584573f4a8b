use std::{
    convert::Infallible,
    future::{pending, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{future::join_all, stream};
use http_body::{Body as _, Frame};
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_server::{Health, HealthServer},
};
use tonic_types::StatusExt as _;
use tower::{BoxError, ServiceExt as _, service_fn};
use tower_test::mock;

use super::*;
use crate::deadline::Deadline;

type Reply = Response<Body>;

fn request(timeout: &str) -> Request<()> {
    Request::builder().header("grpc-timeout", timeout).body(()).unwrap()
}

fn status(reply: &Reply) -> Status {
    Status::from_header_map(reply.headers()).expect("a rejection has its status in the headers")
}

/// A handler that never answers. `alive` counts its futures.
fn never(alive: &Arc<AtomicUsize>) -> impl Service<Request<()>, Response = Reply, Error = Infallible> {
    struct Alive(Arc<AtomicUsize>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let alive = Arc::clone(alive);
    service_fn(move |_: Request<()>| {
        alive.fetch_add(1, Ordering::SeqCst);
        let guard = Alive(Arc::clone(&alive));
        async move {
            let _guard = guard;
            pending().await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_smaller_limit_counts_and_drops_the_handler() {
    let second = Some(Duration::from_secs(1));
    for (own, timeout, millis, message) in [
        (None, Some("100m"), 100, "deadline of 100 ms exceeded, set by the call's grpc-timeout"),
        (second, Some("100m"), 100, "deadline of 100 ms exceeded, set by the call's grpc-timeout"),
        (second, Some("2S"), 1_000, "deadline of 1000 ms exceeded, set by this server's own limit"),
        (second, None, 1_000, "deadline of 1000 ms exceeded, set by this server's own limit"),
    ] {
        let alive = Arc::new(AtomicUsize::new(0));
        let mut service = ServerDeadlineLayer::new(own).layer(never(&alive));
        let start = Instant::now();
        let call = service.call(timeout.map_or_else(|| Request::new(()), request));
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        let mut call = pin!(call);
        let reply = call.as_mut().await.unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0, "dropped while the future is still held");
        assert_eq!(start.elapsed(), Duration::from_millis(millis));
        assert_eq!(status(&reply).code(), Code::DeadlineExceeded);
        assert_eq!(status(&reply).message(), message);
    }
}

#[tokio::test(start_paused = true)]
async fn the_handler_sees_its_deadline() {
    for (own, timeout, left) in [(None, "", None), (Some(1_000), "", Some(1_000)), (Some(1_000), "0000300m", Some(300))]
    {
        let handler = service_fn(async |request: Request<()>| {
            let left = request.extensions().get().map(|deadline: &Deadline| deadline.remaining());
            let mut reply = Response::new(Body::empty());
            reply.extensions_mut().insert(left);
            Ok::<_, Infallible>(reply)
        });
        let service = ServerDeadlineLayer::new(own.map(Duration::from_millis)).layer(handler);
        let request = if timeout.is_empty() { Request::new(()) } else { request(timeout) };
        let reply = service.oneshot(request).await.unwrap();
        let seen = reply.extensions().get::<Option<Duration>>().unwrap();
        assert_eq!(*seen, left.map(Duration::from_millis));
    }
}

#[tokio::test]
async fn expired_or_malformed_never_calls_the_handler() {
    for (timeout, code) in [
        ("0m", Code::DeadlineExceeded),
        ("0H", Code::DeadlineExceeded),
        ("soon", Code::InvalidArgument),
        ("+5m", Code::InvalidArgument),
        ("123456789m", Code::InvalidArgument),
    ] {
        let (mock, mut handle) = mock::pair::<Request<()>, Reply>();
        let reply = ServerDeadlineLayer::new(None).layer(mock).oneshot(request(timeout)).await.unwrap();
        assert_eq!(status(&reply).code(), code, "{timeout}");
        if code == Code::InvalidArgument {
            let violation = &status(&reply).get_details_bad_request().unwrap().field_violations[0];
            assert_eq!(violation.field, "grpc-timeout");
            assert!(violation.description.contains(timeout) && violation.description.contains("1 to 8 digits"));
        }
        assert!(handle.next_request().await.is_none(), "{timeout}: the handler was called");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_or_error_in_time_passes() {
    let (mock, mut handle) = mock::pair::<Request<()>, Reply>();
    let service = ServerDeadlineLayer::new(Some(Duration::from_secs(1))).layer(mock);
    let calls = tokio::spawn(join_all([service.clone().oneshot(request("1S")), service.oneshot(request("1S"))]));
    tokio::time::sleep(Duration::from_millis(999)).await;
    handle.next_request().await.unwrap().1.send_response(Response::new(Body::empty()));
    handle.next_request().await.unwrap().1.send_error("broken");
    let replies = calls.await.unwrap();
    assert!(replies[0].as_ref().unwrap().headers().is_empty());
    assert_eq!(replies[1].as_ref().unwrap_err().to_string(), "broken");
}

/// A body of `frames`, then silence.
struct Stalling(Vec<Bytes>);

impl http_body::Body for Stalling {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.pop().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
    }
}

async fn next(body: &mut Body) -> Option<Frame<Bytes>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await.transpose().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_streams_past_the_deadline_ends_with_trailers() {
    let handler = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Body::new(Stalling(vec![Bytes::from("b"), Bytes::from("a")])))))
    });
    let start = Instant::now();
    let service = ServerDeadlineLayer::new(None).layer(handler);
    let mut body = service.oneshot(request("100m")).await.unwrap().into_body();
    assert_eq!(next(&mut body).await.unwrap().into_data().unwrap(), "a");
    assert_eq!(next(&mut body).await.unwrap().into_data().unwrap(), "b");
    let trailers = next(&mut body).await.unwrap().into_trailers().unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    assert_eq!(trailers["grpc-status"], "4");
    assert!(next(&mut body).await.is_none());
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_waits_ends_too() {
    let handler = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Body::new(Stalling(vec![Bytes::from("x"); 1_000])))))
    });
    let mut body = ServerDeadlineLayer::new(None).layer(handler).oneshot(request("5m")).await.unwrap().into_body();
    for _ in 0..5 {
        assert!(next(&mut body).await.unwrap().is_data());
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(next(&mut body).await.unwrap().trailers_ref().unwrap()["grpc-status"], "4");
}

/// A health service whose calls never end.
struct Silent;

#[tonic::async_trait]
impl Health for Silent {
    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        pending().await
    }

    type WatchStream = futures::stream::BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: tonic::Request<HealthCheckRequest>) -> Result<tonic::Response<Self::WatchStream>, Status> {
        use futures::StreamExt as _;
        let first = stream::iter([Ok(HealthCheckResponse::default())]);
        Ok(tonic::Response::new(first.chain(stream::pending()).boxed()))
    }
}

/// Makes one call with h2 alone, which has no timeouts of its own. Returns the status that the server sent.
async fn call(mut sender: h2::client::SendRequest<Bytes>, method: &str, timeout: String) -> Result<Status, BoxError> {
    let request = Request::post(format!("http://localhost/grpc.health.v1.Health/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(())?;
    sender = sender.ready().await?;
    let (reply, mut message) = sender.send_request(request, false)?;
    // A server may reply and close the stream between the headers and the message: its reply counts.
    let _ = message.send_data(Bytes::from_static(&[0; 5]), true);
    let mut reply = reply.await?;
    if let Some(status) = Status::from_header_map(reply.headers()) {
        return Ok(status);
    }
    while let Some(data) = reply.body_mut().data().await {
        reply.body_mut().flow_control().release_capacity(data?.len())?;
    }
    let trailers = reply.body_mut().trailers().await?.ok_or("no trailers")?;
    Ok(Status::from_header_map(&trailers).ok_or("no status in the trailers")?)
}

/// On a clock that stands still while tasks run, both timers fire at once: see `ServerDeadlineLayer` about other clocks.
#[tokio::test(start_paused = true)]
async fn the_layer_is_ahead_of_the_timer_of_tonics_server() -> Result<(), BoxError> {
    let (near, far) = tokio::io::duplex(1 << 20);
    let server = tonic::transport::Server::builder()
        .layer(ServerDeadlineLayer::new(Some(Duration::from_secs(5))))
        .serve_with_incoming(HealthServer::new(Silent), stream::iter([Ok::<_, std::io::Error>(far)]));
    tokio::spawn(server);
    let (sender, connection) = h2::client::handshake(near).await?;
    tokio::spawn(connection);
    let calls = (0..100).map(|number| {
        let method = if number % 5 == 0 { "Watch" } else { "Check" };
        call(sender.clone(), method, format!("{}u", 1_000 + number * 37))
    });
    for status in join_all(calls).await {
        assert_eq!(status?.code(), Code::DeadlineExceeded);
    }
    Ok(())
}
