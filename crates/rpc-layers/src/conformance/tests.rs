use std::{future::poll_fn, sync::Arc};

use http_body::Body as _;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tower::ServiceExt as _;

use super::{body::Framing, *};

/// The reply of a service that reads the whole body, and what it has read.
async fn call(request: Request<Body>) -> (Response<Body>, Vec<u8>) {
    let read = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&read);
    let service = tower::service_fn(move |request: Request<Body>| {
        let seen = Arc::clone(&seen);
        async move {
            let mut body = request.into_body();
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                match frame {
                    Ok(frame) => seen.lock().unwrap().extend(frame.into_data().unwrap()),
                    Err(status) => return Ok(status.into_http()),
                }
            }
            Ok(Status::ok("").into_http())
        }
    });
    let layer = ConformanceLayer::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
    let response = layer.layer(service).oneshot(request).await.unwrap();
    let read = read.lock().unwrap().clone();
    (response, read)
}

fn request(body: &'static [u8]) -> Request<Body> {
    let body = Body::new(String::from_utf8(body.to_vec()).unwrap());
    Request::post("/grpc.health.v1.Health/Check").header("content-type", "application/grpc").body(body).unwrap()
}

fn status(response: &Response<Body>) -> (u16, Code) {
    (response.status().as_u16(), Status::from_header_map(response.headers()).unwrap().code())
}

#[tokio::test]
async fn other_methods_and_types_are_refused_before_the_service() {
    for method in ["GET", "PUT", "HEAD", "OPTIONS", "FETCH"] {
        let mut request = request(b"\0\0\0\0\0");
        *request.method_mut() = method.parse().unwrap();
        let (response, read) = call(request).await;
        assert_eq!((status(&response), read.len()), ((405, Code::InvalidArgument), 0), "{method}");
        assert_eq!(response.headers()["allow"], "POST");
    }
    for (kind, expected) in [
        ("application/grpc", 200),
        ("application/grpc+proto", 200),
        ("Application/GRPC; charset=utf-8", 200),
        ("application/grpc+json", 415),
        ("application/grpc-web", 415),
        ("application/json", 415),
        ("", 415),
    ] {
        let mut request = request(b"\0\0\0\0\0");
        request.headers_mut().insert(CONTENT_TYPE, kind.parse().unwrap());
        assert_eq!(status(&call(request).await.0).0, expected, "{kind:?}");
    }
    let mut untyped = request(b"\0\0\0\0\0");
    untyped.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(status(&call(untyped).await.0), (415, Code::InvalidArgument));
}

#[tokio::test]
async fn a_request_has_one_message() {
    let (response, read) = call(request(b"\0\0\0\0\x02hi")).await;
    assert_eq!((status(&response), &*read), ((200, Code::Ok), &b"\0\0\0\0\x02hi"[..]));
    for (wrong, why) in [
        (&b""[..], "no message"),
        (b"\0\0", "ended before"),
        (b"\0\0\0\0\x03hi", "ended before"),
        (b"\0\0\0\0\x02hi\0", "more than one"),
        (b"\0\0\0\0\0\0\0\0\0\0", "more than one"),
        (b"\x01\0\0\0\x02hi", "names no compression"),
        (b"\x07\0\0\0\x02hi", "prefix"),
    ] {
        let (response, _) = call(request(wrong)).await;
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((status.code(), response.status()), (Code::InvalidArgument, StatusCode::OK), "{wrong:?}");
        assert!(status.message().contains(why), "{wrong:?}: {status:?}");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_the_callers_error_and_other_failures_stay() {
    let reply = async |status: Status| {
        let mut status = Some(status);
        let service = tower::service_fn(move |_: Request<Body>| {
            std::future::ready(Ok::<_, Infallible>(status.take().unwrap().into_http()))
        });
        let response = ConformanceLayer::default().layer(service).oneshot(request(b"")).await.unwrap();
        Status::from_header_map(response.headers()).unwrap()
    };
    let mut undecodable = Status::internal("cannot be decoded");
    undecodable.set_source(Arc::new(FileDescriptorSet::decode(&b"\xff"[..]).unwrap_err()));
    let status = reply(undecodable).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("decode"), "{status:?}");
    assert_eq!(reply(Status::internal("a bug")).await.code(), Code::Internal);
}

proptest! {
    #[test]
    fn where_a_body_is_cut_makes_no_difference(
        body in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(3), any::<u8>()], 0..16),
        cut in any::<prop::sample::Index>(),
    ) {
        let read = |parts: &[&[u8]]| {
            let mut framing = Framing::new(true);
            parts.iter().try_for_each(|part| framing.read(part)).and_then(|()| framing.end())
        };
        let cut = cut.index(body.len() + 1);
        prop_assert_eq!(read(&[&body]), read(&[&body[..cut], &[], &body[cut..]]));
    }
}
