use std::{
    collections::VecDeque,
    future::{Ready, poll_fn, ready},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::*;
use crate::deadline::{Deadline, ServerDeadlineLayer};

const TIMEOUT: Duration = Duration::from_secs(5);

type Sent = Result<Frame<Bytes>, Status>;

/// A body whose frames the test sends.
struct Frames(mpsc::UnboundedReceiver<Sent>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        self.0.poll_recv(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

fn body() -> (mpsc::UnboundedSender<Sent>, Body) {
    let (send, frames) = mpsc::unbounded_channel();
    (send, Body::new(Frames(frames)))
}

fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}

fn request(body: Body) -> Request<Body> {
    Request::post("/grpc.health.v1.Health/Check").body(body).unwrap()
}

/// Keeps the requests that reach it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<VecDeque<Request<Body>>>>);

impl Service<Request<Body>> for Kept {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.lock().unwrap().push_back(request);
        ready(Ok(Status::ok("").into_http()))
    }
}

impl Kept {
    fn take(&self) -> Option<Request<Body>> {
        self.0.lock().unwrap().pop_front()
    }
}

fn bounded(kept: &Kept) -> BodyTimeout<Kept> {
    BodyTimeoutLayer::new(TIMEOUT, None).layer(kept.clone())
}

/// Reads a body to its end.
async fn read(mut body: Body) -> (Vec<usize>, Vec<u8>, Option<Sent>) {
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) if frame.is_data() => {
                let data = frame.into_data().unwrap();
                frames.push(data.len());
                bytes.extend(data);
            }
            last => return (frames, bytes, last),
        }
    }
}

fn status(response: &Response<Body>) -> Status {
    Status::from_header_map(response.headers()).unwrap()
}

#[tokio::test]
async fn a_request_that_has_arrived_is_passed_on_in_the_call_without_a_copy() {
    let (kept, message) = (Kept::default(), Bytes::from_static(b"\0\0\0\0\x02hi"));
    let (send, body) = body();
    send.send(Ok(Frame::data(message.clone()))).unwrap();
    drop(send);
    let _reply = bounded(&kept).call(request(body));
    let request = kept.take().expect("called at once");
    assert!(request.extensions().get::<Received>().is_none());
    let mut body = request.into_body();
    assert_eq!(body.size_hint().exact(), Some(7));
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap().as_ptr(), message.as_ptr());
    assert!(body.is_end_stream());
    assert!(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_none());

    // So is one without a body.
    let _reply = bounded(&kept).call(self::request(Body::empty()));
    assert!(kept.take().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_end_and_keeps_everything_that_came() {
    let kept = Kept::default();
    let mut trailers = HeaderMap::new();
    trailers.insert("x", "1".parse().unwrap());
    for last in [Some(Ok(Frame::trailers(trailers))), Some(Err(Status::internal("lost"))), None] {
        let (send, body) = body();
        let mut reply = bounded(&kept).oneshot(request(body));
        for part in [&b"\0\0"[..], b"\0\0", b"\x02h", b"i"] {
            assert!(futures::poll!(&mut reply).is_pending());
            send.send(Ok(data(part))).unwrap();
        }
        assert!(futures::poll!(&mut reply).is_pending(), "it may have another message");
        assert!(kept.take().is_none());
        let expected = last.as_ref().map(|last| last.as_ref().map(Frame::is_trailers).map_err(Status::code));
        if let Some(last) = last {
            send.send(last).unwrap();
        }
        drop(send);
        reply.await.unwrap();
        let (frames, bytes, last) = read(kept.take().unwrap().into_body()).await;
        assert_eq!((frames.len(), &*bytes), (1, &b"\0\0\0\0\x02hi"[..]));
        assert_eq!(last.as_ref().map(|last| last.as_ref().map(Frame::is_trailers).map_err(Status::code)), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_passed_on_before_its_end() {
    let kept = Kept::default();
    let (send, body) = body();
    let mut reply = bounded(&kept).oneshot(request(body));
    send.send(Ok(Frame::data(vec![7; 10_000].into()))).unwrap();
    assert!(futures::poll!(&mut reply).is_pending());
    send.send(Ok(Frame::data(vec![7; 10_000].into()))).unwrap();
    reply.await.unwrap();
    send.send(Ok(Frame::data(vec![7; 10_000].into()))).unwrap();
    drop(send);
    let (frames, bytes, last) = read(kept.take().unwrap().into_body()).await;
    assert_eq!((frames, bytes.len()), (vec![20_000, 10_000], 30_000));
    assert!(last.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_late_never_reaches_the_service() {
    for (callers, expected) in [(None, 5_000), (Some("100m"), 100), (Some("1H"), 5_000), (Some("soon"), 5_000)] {
        let (kept, begun) = (Kept::default(), Instant::now());
        let (send, body) = body();
        send.send(Ok(data(b"\0\0\0"))).unwrap();
        let mut request = request(body);
        if let Some(callers) = callers {
            request.headers_mut().insert("grpc-timeout", callers.parse().unwrap());
        }
        let response = bounded(&kept).oneshot(request).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_millis(expected));
        let status = status(&response);
        assert_eq!(
            (status.code(), status.message()),
            (Code::DeadlineExceeded, &*format!("the request's message did not arrive within {expected} ms"))
        );
        assert_eq!(status.get_details_error_info().unwrap().reason, "REQUEST_TOO_SLOW");
        assert!(kept.take().is_none());
        assert!(send.is_closed(), "nothing is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_begins_with_the_headers() {
    let kept = Kept::default();
    let service = ServerDeadlineLayer::new(Some(Duration::from_secs(30))).layer(kept.clone());
    let begun = Instant::now();
    let (send, body) = body();
    let reply = BodyTimeoutLayer::new(TIMEOUT, None).layer(service).oneshot(request(body));
    let late = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        drop(send);
    };
    futures::join!(async { reply.await.unwrap() }, late);
    let deadline = *kept.take().unwrap().extensions().get::<Deadline>().unwrap();
    assert_eq!(deadline.instant() - begun, Duration::from_secs(30));
}

#[tokio::test]
async fn a_request_that_streams_does_not_wait() {
    let kept = Kept::default();
    let descriptors = tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET;
    let layer = BodyTimeoutLayer::decode(TIMEOUT, descriptors, None).unwrap();
    let (_send, body) = body();
    let mut request = request(body);
    *request.uri_mut() = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".parse().unwrap();
    let _reply = layer.layer(kept.clone()).call(request);
    assert!(kept.take().is_some());
}

#[tokio::test(start_paused = true)]
async fn messages_without_an_end_have_a_bounded_memory_and_small_ones_are_served_all_the_same() {
    const FRAME: usize = 16 << 10;
    let kept = Kept::default();
    let layer = BodyTimeoutLayer::new(TIMEOUT, None);
    // They have arrived as far as they are read ahead, and are read further by the service.
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..4_000 {
        // A channel is read 128 times in a turn of a task.
        tokio::task::yield_now().await;
        let (send, body) = body();
        send.send(Ok(Frame::data(vec![7; FRAME].into()))).unwrap();
        send.send(Ok(Frame::data(vec![7; FRAME].into()))).unwrap();
        let _reply = layer.layer(kept.clone()).call(request(body));
        let mut body = kept.take().expect("as much has arrived as is read ahead").into_body();
        let read = [0, 1].map(|_| poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never().flatten());
        refused += usize::from(read.iter().flatten().any(Result::is_err));
        open.push((send, body));
        assert!(layer.memory.used() <= 24 << 20);
    }
    assert!(refused > 2_000, "{refused}");

    let (send, body) = body();
    let mut reply = layer.layer(kept.clone()).oneshot(request(body));
    assert!(futures::poll!(&mut reply).is_pending());
    send.send(Ok(data(b"\0\0\0\0\x02hi"))).unwrap();
    drop(send);
    reply.await.unwrap();
    let (_, bytes, last) = read(kept.take().unwrap().into_body()).await;
    assert_eq!((bytes.len(), last.is_none()), (7, true));

    drop(open);
    assert_eq!(layer.memory.used(), 0, "nothing is forgotten");
}
