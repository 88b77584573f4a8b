use std::time::Duration;

use tokio::time::advance;
use tonic::{Code, body::Body};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::Peer;

fn layer(per_second: u32, burst: u32) -> RateLimitLayer {
    let limit = RateLimit { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() };
    RateLimitLayer::new(Some(limit), KnownMethods::default(), None)
}

fn from(address: &str, connection: u64) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(Arc::new(Peer { address: address.parse().unwrap(), connection, certificate: None }));
    extensions
}

/// Makes a request, and returns its status.
async fn call(layer: &RateLimitLayer, address: &str, connection: u64) -> Status {
    let ok = tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Status::ok("").into_http::<Body>()));
    let mut request = Request::new(());
    *request.extensions_mut() = from(address, connection);
    let response = layer.layer(ok).oneshot(request).await.unwrap();
    Status::from_header_map(response.headers()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_caller_gets_its_burst_and_then_its_rate_and_is_told_when() {
    let layer = layer(20, 10);
    let mut counts = (0, 0);
    // 50 requests in the second after the burst, which holds 20.
    for connection in 0..60 {
        match call(&layer, "192.0.2.1:5000", connection).await.code() {
            Code::Ok => counts.0 += 1,
            code => {
                assert_eq!(code, Code::ResourceExhausted);
                counts.1 += 1;
            }
        }
        if connection >= 9 {
            advance(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(counts, (30, 30));
    assert_eq!(call(&layer, "192.0.2.2:5000", 1).await.code(), Code::Ok, "another address");

    let status = loop {
        let status = call(&layer, "192.0.2.1:5000", 1).await;
        if status.code() != Code::Ok {
            break status;
        }
    };
    assert_eq!(status.message(), "too many requests of this address: 20 a second are allowed");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("RATE_LIMIT_EXCEEDED", "fanout"));
    let metadata = ["rate_limit", "rate_limit_burst", "caller"].map(|key| &*info.metadata[key]);
    assert_eq!(metadata, ["20/s", "10", "address"]);
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    advance(wait.checked_sub(Duration::from_millis(1)).unwrap()).await;
    assert_eq!(call(&layer, "192.0.2.1:5000", 1).await.code(), Code::ResourceExhausted);
    advance(Duration::from_millis(1)).await;
    assert_eq!(call(&layer, "192.0.2.1:5000", 1).await.code(), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_heavy_request_counts_as_many() {
    let (layer, caller) = (layer(10, 10), from("[2001:db8::1]:5000", 1));
    layer.count_more(&caller, 0).unwrap();
    layer.count_more(&caller, 4).unwrap();
    let status = layer.count_more(&from("[2001:db8::2]:5000", 2), 9).unwrap_err();
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(300)));
    advance(Duration::from_millis(400)).await;
    layer.count_more(&caller, 1_000_000_000_000).unwrap();
    layer.count_more(&caller, 1).unwrap_err();
}

#[tokio::test]
async fn without_a_limit_nothing_is_rejected() {
    let layer = RateLimitLayer::new(None, KnownMethods::default(), None);
    for _ in 0..1_000 {
        assert_eq!(call(&layer, "192.0.2.1:5000", 1).await.code(), Code::Ok);
    }
    layer.count_more(&Extensions::new(), usize::MAX).unwrap();
}
