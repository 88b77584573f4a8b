use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower_test::mock;

use super::*;
use crate::Peer;

type Sent = Result<Frame<Bytes>, Status>;

/// A body of these frames.
#[derive(Debug, Default)]
struct Frames(VecDeque<Sent>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Sent>> {
        Poll::Ready(self.0.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

/// Removes the error type of the mock, which never fails here.
type Inner = tower::util::MapErr<mock::Mock<Request<()>, Response<Frames>>, fn(tower::BoxError) -> Infallible>;

fn limited(max: usize) -> (InFlightLimit<Inner>, mock::Handle<Request<()>, Response<Frames>>) {
    let (inner, handle) = mock::pair();
    let never: fn(tower::BoxError) -> Infallible = |error| panic!("{error}");
    let service = tower::util::MapErr::new(inner, never);
    (InFlightLimitLayer::new(max, 25, KnownMethods::default(), None).layer(service), handle)
}

fn data() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(b"message"))
}

fn trailers() -> Frame<Bytes> {
    Frame::trailers(HeaderMap::new())
}

/// Makes a call that is answered with these frames.
async fn call(
    service: &mut InFlightLimit<Inner>,
    handle: &mut mock::Handle<Request<()>, Response<Frames>>,
    frames: impl IntoIterator<Item = Sent>,
) -> Pin<Box<LimitedBody<Frames>>> {
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let reply = service.call(Request::new(()));
    let (_, answer) = handle.next_request().await.unwrap();
    answer.send_response(Response::new(Frames(frames.into_iter().collect())));
    Box::pin(reply.await.unwrap().into_body())
}

async fn next(body: &mut Pin<Box<LimitedBody<Frames>>>) -> Option<Sent> {
    poll_fn(|cx| body.as_mut().poll_frame(cx)).await
}

fn used(service: &InFlightLimit<Inner>) -> usize {
    service.layer.permits.used()
}

#[tokio::test]
async fn a_request_above_the_limit_is_rejected_at_once() {
    let (mut service, mut handle) = limited(1);
    handle.allow(2);
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let first = service.call(Request::new(()));
    // A clone, as every connection has its own, shares the limit.
    let mut other = service.clone();
    poll_fn(|cx| other.poll_ready(cx)).await.unwrap();
    let rejected = other.call(Request::new(())).await.unwrap();
    assert!(rejected.body().is_end_stream(), "headers alone");
    assert_eq!(rejected.headers()["content-type"], "application/grpc");
    let status = Status::from_header_map(rejected.headers()).unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "too many requests in flight: the limit is 1")
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("TOO_MANY_REQUESTS_IN_FLIGHT", "fanout"));
    assert_eq!(info.metadata["max_in_flight"], "1");
    // The service received only the first.
    let _answer = handle.next_request().await.unwrap();
    assert!(futures::poll!(std::pin::pin!(handle.next_request())).is_pending());
    drop(first);
    assert_eq!(used(&service), 0, "dropping the future releases the permit");
}

#[tokio::test]
async fn a_permit_is_held_until_the_reply_has_ended() {
    let (mut service, mut handle) = limited(1);
    handle.allow(10);
    let mut body = call(&mut service, &mut handle, [Ok(data()), Ok(data()), Ok(trailers())]).await;
    for _ in 0..2 {
        assert!(next(&mut body).await.unwrap().unwrap().is_data());
        assert_eq!(used(&service), 1, "the reply streams");
    }
    assert!(next(&mut body).await.unwrap().unwrap().is_trailers());
    assert_eq!(used(&service), 0);

    let mut body = call(&mut service, &mut handle, [Ok(data()), Err(Status::internal("lost"))]).await;
    next(&mut body).await.unwrap().unwrap();
    next(&mut body).await.unwrap().unwrap_err();
    assert_eq!(used(&service), 0, "an error ends the reply");

    let mut body = call(&mut service, &mut handle, [Ok(data())]).await;
    next(&mut body).await.unwrap().unwrap();
    assert_eq!(used(&service), 1);
    assert!(next(&mut body).await.is_none());
    assert_eq!(used(&service), 0, "the end of the body ends the reply");

    let body = call(&mut service, &mut handle, [Ok(data()), Ok(trailers())]).await;
    assert_eq!(used(&service), 1);
    drop(body);
    assert_eq!(used(&service), 0, "dropping the body ends the reply");

    let body = call(&mut service, &mut handle, []).await;
    assert_eq!(used(&service), 0, "a reply without a body ends with its headers");
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn the_body_reports_the_size_of_the_inner_one() {
    let (mut service, mut handle) = limited(1);
    handle.allow(1);
    let body = call(&mut service, &mut handle, [Ok(data())]).await;
    assert_eq!((body.is_end_stream(), body.size_hint().exact()), (false, Some(7)));
    let none = LimitedBody::<Frames>::empty();
    assert_eq!((none.is_end_stream(), none.size_hint().exact()), (true, Some(0)));
}

/// Notes when it is dropped whether the permit was still held.
struct NotesDrop(Arc<Permits>, Arc<AtomicBool>);

impl Drop for NotesDrop {
    fn drop(&mut self) {
        self.1.store(self.0.used() == 1, Ordering::Relaxed);
    }
}

impl Body for NotesDrop {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Sent>> {
        Poll::Pending
    }
}

#[test]
fn the_permit_is_released_after_the_body_is_dropped() {
    let (permits, held) = (Arc::new(Permits::new(Limits::new(1, 25))), Arc::new(AtomicBool::new(false)));
    let permit = permits.begin(CallerKeys::of(&Extensions::new())).ok();
    drop(LimitedBody::new(NotesDrop(Arc::clone(&permits), Arc::clone(&held)), permit));
    assert!(held.load(Ordering::Relaxed));
    assert_eq!(permits.used(), 0);
}

/// Returns the extensions of a request on this connection, from a network of its own.
fn from(connection: u64) -> Extensions {
    let address = ([192, 0, 2, u8::try_from(connection).unwrap()], 5000).into();
    let mut extensions = Extensions::new();
    extensions.insert(Arc::new(Peer { address, connection, certificate: None }));
    extensions
}

#[test]
fn a_caller_with_more_than_its_share_is_told_so() {
    let layer = InFlightLimitLayer::new(8, 25, KnownMethods::default(), None);
    let begin = |connection| layer.permits.begin(CallerKeys::of(&from(connection)));
    let mut greedy: Vec<_> = (0..8).map(|_| begin(1).unwrap()).collect();
    let other = begin(2).unwrap();
    let status = layer.acquire_more(&from(1), 1).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("too many requests in flight: the limit is 8, and this "), "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("SHARE_OF_REQUESTS_EXCEEDED", "fanout"));
    assert_eq!((&*info.metadata["max_in_flight"], &*info.metadata["max_share"]), ("8", "25%"));
    assert!(["connection", "address"].contains(&&*info.metadata["caller"]));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(std::time::Duration::from_secs(1)));
    assert_eq!(layer.in_flight(), 9);
    greedy.clear();
    drop(other);
    assert_eq!((layer.in_flight(), layer.permits.used()), (0, 0));
}

#[test]
fn a_heavy_request_has_as_many_permits_as_its_caller_may_have() {
    let layer = InFlightLimitLayer::new(8, 25, KnownMethods::default(), None);
    let request = layer.permits.begin(CallerKeys::of(&from(1))).unwrap();
    let mut more = layer.acquire_more(&from(1), 1000).unwrap();
    assert_eq!((layer.in_flight(), layer.permits.used()), (1, 3), "its share is 2");
    more.shrink_to(999);
    assert_eq!(layer.permits.used(), 3);
    more.shrink_to(1);
    assert_eq!(layer.permits.used(), 2);
    more.shrink_to(0);
    assert_eq!(layer.permits.used(), 1);
    drop((request, more, layer.acquire_more(&from(1), 0).unwrap()));
    assert_eq!(layer.permits.used(), 0);
    assert!(layer.permits.knows_nobody(), "callers without permits are forgotten");
}
