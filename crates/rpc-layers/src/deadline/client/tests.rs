use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, poll};
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame};
use tokio::time::Instant;
use tonic::{Code, TimeoutExpired, body::Body};
use tower::ServiceExt as _;
use tower_test::mock::{self, Handle, Mock};

use super::*;
use crate::deadline::Deadline;

mod network;

/// A channel whose peer is the test.
type Channel = Mock<Request<()>, Response<Body>>;
type Peer = Handle<Request<()>, Response<Body>>;

fn client() -> (ClientDeadline<Channel>, Peer) {
    let (mock, handle) = mock::pair();
    (ClientDeadlineLayer::new().layer(mock), handle)
}

fn within(millis: u64) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(Deadline::after(Duration::from_millis(millis)));
    request
}

fn cancelled() -> Response<Body> {
    Status::cancelled("Timeout expired").into_http()
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_nothing_changes() {
    let (service, mut handle) = client();
    let mut call = pin!(service.oneshot(Request::new(())));
    assert!(poll!(&mut call).is_pending());
    let (request, reply) = handle.next_request().await.unwrap();
    assert!(request.headers().is_empty());
    tokio::time::advance(Duration::from_secs(1_000)).await;
    assert!(poll!(&mut call).is_pending());
    reply.send_response(cancelled());
    assert_eq!(call.await.unwrap().headers()["grpc-status"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_past_deadline_calls_nothing() {
    let (service, mut handle) = client();
    handle.allow(0);
    let status = service.oneshot(within(0)).await.expect_err("nothing is left");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(handle.next_request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_what_is_left_after_the_queue() {
    let (service, mut handle) = client();
    handle.allow(0);
    let mut call = pin!(service.oneshot(within(1_000)));
    assert!(poll!(&mut call).is_pending());
    tokio::time::advance(Duration::from_millis(400)).await;
    handle.allow(1);
    assert!(poll!(&mut call).is_pending());
    let (request, _reply) = handle.next_request().await.unwrap();
    assert_eq!(request.headers()["grpc-timeout"], "600000u");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_timeout_of_the_call_is_kept() {
    for (own, expected) in [("100m", 100), ("5S", 1_000), ("soon", 1_000)] {
        let (service, mut handle) = client();
        let mut request = within(1_000);
        request.headers_mut().insert(GRPC_TIMEOUT, HeaderValue::from_static(own));
        let start = Instant::now();
        let call = tokio::spawn(service.oneshot(request));
        let (request, _reply) = handle.next_request().await.unwrap();
        assert_eq!(request.headers()["grpc-timeout"], format!("{}u", expected * 1_000).as_str());
        assert_eq!(call.await.unwrap().expect_err("no answer").code(), Code::DeadlineExceeded);
        assert_eq!(start.elapsed(), Duration::from_millis(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_and_for_the_answer_count() {
    for ready in [0, 1] {
        let (service, mut handle) = client();
        handle.allow(ready);
        let start = Instant::now();
        let mut call = Box::pin(service.oneshot(within(100)));
        let status = (&mut call).await.expect_err("no answer");
        assert_eq!(start.elapsed(), Duration::from_millis(100));
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.message(), "deadline exceeded: the call had 100 ms");
        assert_eq!(handle.next_request().now_or_never().flatten().is_some(), ready == 1);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("wrapped")]
struct Wrapped(#[source] BoxError);

#[tokio::test(start_paused = true)]
async fn expiries_are_found_by_type_and_time() {
    let expired = || BoxError::from(TimeoutExpired(()));
    for (error, after_millis, code) in [
        (expired(), 0, Code::DeadlineExceeded),
        (Wrapped(Wrapped(expired()).into()).into(), 0, Code::DeadlineExceeded),
        (Status::cancelled("reset").into(), 0, Code::Cancelled),
        (Status::cancelled("reset").into(), 99, Code::DeadlineExceeded),
        (Status::unavailable("gone").into(), 99, Code::Unavailable),
        (BoxError::from("Timeout expired"), 0, Code::Unknown),
    ] {
        let (service, mut handle) = client();
        let name = error.to_string();
        let call = tokio::spawn(service.oneshot(within(100)));
        let (_, reply) = handle.next_request().await.unwrap();
        tokio::time::sleep(Duration::from_millis(after_millis)).await;
        reply.send_error(error);
        assert_eq!(call.await.unwrap().expect_err("an error").code(), code, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_reply_at_the_deadline_is_expired() {
    for (after_millis, code) in [(10, "1"), (99, "4")] {
        let (service, mut handle) = client();
        let call = tokio::spawn(service.oneshot(within(100)));
        let (_, reply) = handle.next_request().await.unwrap();
        tokio::time::sleep(Duration::from_millis(after_millis)).await;
        reply.send_response(cancelled());
        assert_eq!(call.await.unwrap().unwrap().headers()["grpc-status"], code);
    }
}

/// A reply's body of frames, each with its delay in milliseconds. Never ends after the last.
struct Paced(std::collections::VecDeque<(u64, Option<Frame<Bytes>>)>, Pin<Box<tokio::time::Sleep>>);

impl Paced {
    fn body(frames: Vec<(u64, Option<Frame<Bytes>>)>) -> Body {
        let first = frames.first().map_or(0, |frame| frame.0);
        Body::new(Self(frames.into(), Box::pin(tokio::time::sleep(Duration::from_millis(first)))))
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        ready!(self.1.as_mut().poll(cx));
        let frame = self.0.pop_front().and_then(|(_, frame)| frame);
        let next = self.0.front().map_or(0, |next| next.0);
        self.1.set(tokio::time::sleep(Duration::from_millis(next)));
        Poll::Ready(frame.map(Ok))
    }
}

/// Reads a reply with `frames` to its end under a deadline of 100 ms. Returns the number of data frames, and how it
/// ended.
async fn read(frames: Vec<(u64, Option<Frame<Bytes>>)>) -> (usize, Result<Option<HeaderMap>, Code>) {
    let (service, mut handle) = client();
    let call = tokio::spawn(service.oneshot(within(100)));
    let (_, reply) = handle.next_request().await.unwrap();
    reply.send_response(Response::new(Paced::body(frames)));
    let mut body = pin!(call.await.unwrap().unwrap().into_body());
    let mut data = 0;
    loop {
        match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(Ok(frame)) if frame.is_data() => data += 1,
            Some(Ok(frame)) => return (data, Ok(frame.into_trailers().ok())),
            Some(Err(status)) => {
                assert!(std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_none());
                return (data, Err(status.code()));
            }
            None => return (data, Ok(None)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_or_is_cut_at_the_deadline_is_expired() {
    let data = || Some(Frame::data(Bytes::from_static(b"x")));
    let trailers = |code| {
        Some(Frame::trailers(HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static(code),
        )])))
    };
    let start = Instant::now();
    assert_eq!(read(vec![(0, data())]).await, (1, Err(Code::DeadlineExceeded)), "stalls");
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    assert_eq!(read(vec![(0, data()), (50, None)]).await, (1, Ok(None)), "cut early: not for us to say why");
    assert_eq!(read(vec![(0, data()), (99, None)]).await, (1, Err(Code::DeadlineExceeded)), "reset at the deadline");
    for (after, sent, seen) in [(50, "0", "0"), (50, "1", "1"), (99, "0", "0"), (99, "1", "4")] {
        let (count, end) = read(vec![(0, data()), (after, trailers(sent))]).await;
        assert_eq!((count, &end.unwrap().unwrap()["grpc-status"]), (1, &HeaderValue::from_static(seen)));
    }
}
