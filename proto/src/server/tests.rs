use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tonic::{Code, Request, codegen::BoxFuture};

use super::*;
use crate::country::v1::{Country, GetCountryRequest};

/// Answers with a country of the code that it is asked for, and counts how often.
#[derive(Clone, Default)]
struct Countries(Arc<AtomicU32>);

impl UnaryService<GetCountryRequest> for Countries {
    type Response = Country;
    type Future = BoxFuture<Response<Country>, Status>;

    fn call(&mut self, request: Request<GetCountryRequest>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if request.get_ref().code.is_empty() {
                return Err(Status::not_found("no such country"));
            }
            let mut response = Response::new(Country { code: request.into_inner().code, ..Country::default() });
            response.metadata_mut().insert("x-kept", "1".parse().unwrap());
            response.metadata_mut().insert("te", "reserved".parse().unwrap());
            Ok(response)
        })
    }
}

/// A name, the frames of a request, and its headers.
type Case<'a> = (&'a str, &'a [&'a [u8]], &'a [(&'static str, &'static str)]);

/// A body of these frames. Each is waited for once if they are late.
struct Frames {
    unread: Vec<Frame<Bytes>>,
    is_late: bool,
    is_waited_for: bool,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_waited_for = self.is_late && !self.is_waited_for;
        if self.is_waited_for {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready((!self.unread.is_empty()).then(|| Ok(self.unread.remove(0))))
    }
}

/// Returns how a call ended, and the bytes of its reply.
async fn answer(mut response: http::Response<Body>) -> (Code, String, Bytes, http::HeaderMap) {
    let headers = response.headers().clone();
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await {
        match frame.unwrap().into_data() {
            Ok(bytes) => data.extend_from_slice(&bytes),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let status = Status::from_header_map(trailers.as_ref().unwrap_or(&headers)).unwrap();
    (status.code(), status.message().to_owned(), data.into(), headers)
}

impl Frames {
    fn body(unread: Vec<Frame<Bytes>>, is_late: bool) -> Body {
        Body::new(Self { unread, is_late, is_waited_for: false })
    }
}

fn request(frames: &[&[u8]], headers: &[(&'static str, &'static str)], is_late: bool) -> http::Request<Body> {
    let frames = frames.iter().map(|data| Frame::data(Bytes::copy_from_slice(data))).collect();
    let mut request = http::Request::new(Frames::body(frames, is_late));
    for (name, value) in headers {
        request.headers_mut().insert(*name, http::HeaderValue::from_static(value));
    }
    request
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message].concat()
}

#[tokio::test]
async fn every_request_has_the_answer_that_tonic_has_for_it() {
    let (good, empty) = (framed(b"\x0a\x02GB"), framed(b""));
    let two = [&good[..], &good].concat();
    let cases: &[Case<'_>] = &[
        ("one frame", &[&good], &[]),
        ("an error of the handler", &[&empty], &[]),
        ("cut in the prefix", &[&good[..3], &good[3..]], &[]),
        ("cut in the message", &[&good[..7], &good[7..]], &[]),
        ("an empty frame before", &[b"", &good], &[]),
        ("an empty frame after", &[&good, b""], &[]),
        ("two messages in one frame", &[&two], &[]),
        ("two messages in two frames", &[&good, &good], &[]),
        ("nothing", &[], &[]),
        ("no whole message", &[&good[..8]], &[]),
        ("compressed, without a word of it", &[&[&[1], &good[1..]].concat()], &[]),
        ("compressed in a way that is unknown", &[&good], &[("grpc-encoding", "snappy")]),
        ("not compressed, and says so", &[&good], &[("grpc-encoding", "identity")]),
        ("no prefix", &[&[&[7], &good[1..]].concat()], &[]),
        ("not protobuf", &[&framed(b"\xff\xff\xff\xff\xff\xff")], &[]),
        ("longer than 4 MiB by its prefix", &[&[0, 0, 64, 0, 1], b"x"], &[]),
    ];
    for ((name, frames, headers), is_late) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
        let (ours, tonics) = (Countries::default(), Countries::default());
        let request = || request(frames, headers, is_late);
        let answered = Grpc::new(Codec::default()).unary(ours.clone(), request()).await;
        let expected = tonic::server::Grpc::new(Codec::default()).unary(tonics.clone(), request()).await;
        assert_eq!(answer(answered).await, answer(expected).await, "{name}, late: {is_late}");
        assert_eq!(ours.0.load(Ordering::Relaxed), tonics.0.load(Ordering::Relaxed), "{name}, late: {is_late}");
    }
}

#[tokio::test]
async fn limits_on_the_length_of_messages_are_tonics() {
    let good = framed(b"\x0a\x02GB");
    for (decoding, encoding) in [(Some(3), None), (Some(4), None), (None, Some(3)), (None, Some(4))] {
        let ours = Grpc::new(Codec::default()).apply_max_message_size_config(decoding, encoding);
        let tonics = tonic::server::Grpc::new(Codec::default()).apply_max_message_size_config(decoding, encoding);
        let (mut ours, mut tonics) = (ours, tonics);
        let answered = ours.unary(Countries::default(), request(&[&good], &[], false)).await;
        let expected = tonics.unary(Countries::default(), request(&[&good], &[], false)).await;
        assert_eq!(answer(answered).await, answer(expected).await, "{decoding:?} {encoding:?}");
    }
}

#[tokio::test]
async fn trailers_of_a_request_are_metadata() {
    struct Trailers;
    impl UnaryService<GetCountryRequest> for Trailers {
        type Response = Country;
        type Future = BoxFuture<Response<Country>, Status>;

        fn call(&mut self, request: Request<GetCountryRequest>) -> Self::Future {
            let name = request.metadata().get("x-last").map(|value| value.to_str().unwrap().to_owned());
            Box::pin(async { Ok(Response::new(Country { name: name.unwrap(), ..Country::default() })) })
        }
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-last", http::HeaderValue::from_static("here"));
    let frames = vec![Frame::data(framed(b"\x0a\x02GB").into()), Frame::trailers(trailers)];
    let request = http::Request::new(Frames::body(frames, false));
    let response = Grpc::new(Codec::default()).unary(Trailers, request).await;
    let (code, _, reply, _) = answer(response).await;
    assert_eq!(code, Code::Ok);
    assert_eq!(Country::decode(&reply[PREFIX..]).unwrap().name, "here");
}

#[test]
fn a_reply_is_encoded_into_as_many_bytes_as_it_has() {
    let country = Country { code: "GB".into(), ..Country::default() };
    assert_eq!(frame(&country).unwrap(), framed(&country.encode_to_vec()));
    assert_eq!(frame(&Country::default()).unwrap(), framed(b""));
}
