use super::*;
use crate::{
    error::Cause,
    mock::{Calls, MockService, mock_service},
};

fn coalescing() -> (Coalesce<MockService>, Calls) {
    let (inner, calls) = mock_service();
    (Coalesce::on(inner, Duration::from_secs(30), Metrics::default()), calls)
}

#[tokio::test]
async fn identical_calls_share_one_answer_and_others_do_not() {
    let (mut service, mut calls) = coalescing();
    let [a, b, other] = [b"\x08\x01", b"\x08\x01", b"\x08\x02"]
        .map(|message| tokio::spawn(service.call(UnaryCall::with_message(message))));
    let (_, first) = calls.recv().await.unwrap();
    let (_, second) = calls.recv().await.unwrap();
    first.ok();
    second.ok();
    for reply in [a, b, other] {
        reply.await.unwrap().unwrap();
    }
    // After it has landed, the next one flies anew.
    let again = tokio::spawn(service.call(UnaryCall::with_message(b"\x08\x01")));
    calls.recv().await.unwrap().1.ok();
    again.await.unwrap().unwrap();
    drop(service);
    assert!(calls.recv().await.is_none(), "three calls went out for four");
}

#[tokio::test]
async fn whoever_leaves_does_not_cancel_the_others() {
    let (mut service, mut calls) = coalescing();
    let first = tokio::spawn(service.call(UnaryCall::with_message(b"")));
    let (_, flight) = calls.recv().await.unwrap();
    let second = tokio::spawn(service.call(UnaryCall::with_message(b"")));
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    flight.ok();
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_last_to_leave_ends_the_flight() {
    let (mut service, mut calls) = coalescing();
    let replies =
        [service.call(UnaryCall::with_message(b"")), service.call(UnaryCall::with_message(b""))].map(tokio::spawn);
    let (_, flight) = calls.recv().await.unwrap();
    for reply in replies {
        reply.abort();
        let _ = reply.await;
    }
    assert!(flight.is_abandoned(), "nobody waits for it");
    // The next does not join what was given up.
    let next = tokio::spawn(service.call(UnaryCall::with_message(b"")));
    calls.recv().await.unwrap().1.ok();
    next.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failure_is_shared_too() {
    let (mut service, mut calls) = coalescing();
    let replies =
        [service.call(UnaryCall::with_message(b"")), service.call(UnaryCall::with_message(b""))].map(tokio::spawn);
    let (_, flight) = calls.recv().await.unwrap();
    flight.fail(Failure::new(Cause::Lost, tonic::Status::unavailable("lost")));
    for reply in replies {
        assert_eq!(reply.await.unwrap().unwrap_err().cause, Cause::Lost);
    }
}

#[tokio::test]
async fn a_flight_has_the_gateways_deadline_not_the_first_callers() {
    let (mut service, mut calls) = coalescing();
    let short = UnaryCall::with_message(b"").until(Deadline::after(Duration::from_millis(10)));
    let reply = tokio::spawn(service.call(short));
    let (flown, flight) = calls.recv().await.unwrap();
    assert!(flown.inner.ctx.deadline.unwrap().remaining() > Duration::from_secs(29));
    flight.ok();
    reply.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_must_not_happen_twice_is_not_shared() {
    let (mut service, mut calls) = coalescing();
    let replies =
        [service.call(UnaryCall::non_idempotent()), service.call(UnaryCall::non_idempotent())].map(tokio::spawn);
    for _ in 0..2 {
        calls.recv().await.unwrap().1.ok();
    }
    for reply in replies {
        reply.await.unwrap().unwrap();
    }
}
