use proptest::{
    prelude::{Just, Strategy, any, prop_oneof},
    prop_assert, prop_assert_eq, proptest,
};
use rpc_layers::deadline::Deadline;
use tonic::Status;
use tower::{Service as _, ServiceExt as _, retry::Retry};

use super::*;
use crate::mock::{Calls, MockService, mock_service};

const CODES: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

fn pushback() -> impl Strategy<Value = Pushback> {
    prop_oneof![
        Just(Pushback::Unsaid),
        Just(Pushback::Never),
        (0_u64..10_000).prop_map(|ms| Pushback::After(Duration::from_millis(ms)))
    ]
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        pushback().prop_map(Cause::Answered),
        Just(Cause::Unsent),
        Just(Cause::Lost),
        Just(Cause::Unreachable),
        Just(Cause::Malformed),
        Just(Cause::Late),
        Just(Cause::Shed),
        Just(Cause::CircuitOpen),
        Just(Cause::Internal)
    ]
}

proptest! {
    #[test]
    fn what_may_have_had_an_effect_is_not_sent_twice(cause in cause(), code in 0..CODES.len(), tried in 0_u32..9, max in 0_u32..9) {
        let failure = Failure::new(cause, Status::new(CODES[code], ""));
        let never_left = matches!(cause, Cause::Unsent | Cause::Unreachable);
        let decide = decide(false, &failure, RetryCount { retries: tried, transparent: 0 }, max);
        prop_assert!(never_left || decide == RetryDecision::No);
    }

    #[test]
    fn no_call_is_sent_again_without_end(idempotent in any::<bool>(), cause in cause(), max in 0_u32..9) {
        let failure = Failure::new(cause, Status::new(Code::Unavailable, ""));
        let mut done = RetryCount::default();
        loop {
            match decide(idempotent, &failure, done, max) {
                RetryDecision::No => break,
                RetryDecision::Transparent => done.transparent += 1,
                RetryDecision::BackOff | RetryDecision::After(_) => done.retries += 1,
            }
            prop_assert!(done.retries <= max && done.transparent <= MAX_TRANSPARENT_RETRIES);
        }
        prop_assert!(max > 0 || done == RetryCount::default(), "0 retries are none at all");
    }

    #[test]
    fn only_unavailable_answers_are_asked_for_again(pushback in pushback(), code in 0..CODES.len()) {
        let failure = Failure::new(Cause::Answered(pushback), Status::new(CODES[code], ""));
        let decide = decide(true, &failure, RetryCount::default(), 2);
        let expected = match (CODES[code], pushback) {
            (Code::Unavailable, Pushback::Unsaid) => RetryDecision::BackOff,
            (Code::Unavailable, Pushback::After(wait)) => RetryDecision::After(wait),
            _ => RetryDecision::No,
        };
        prop_assert_eq!(decide, expected);
    }
}

fn unavailable() -> Failure {
    Failure::new(Cause::Answered(Pushback::Unsaid), Status::unavailable("down"))
}

/// The policy above a service that fails as told.
fn retrying(policy: RetryPolicy) -> (Retry<RetryPolicy, MockService>, Calls) {
    let (inner, calls) = mock_service();
    (Retry::new(policy, inner), calls)
}

/// Calls `times` times a service that is down, and counts what reaches it.
async fn attempts_while_down(policy: RetryPolicy, times: u32) -> u32 {
    let (service, mut calls) = retrying(policy);
    let callers = tokio::spawn(async move {
        for _ in 0..times {
            service.clone().oneshot(UnaryCall::example()).await.unwrap_err();
        }
    });
    let mut attempts = 0;
    while let Some((_, respond)) = calls.recv().await {
        attempts += 1;
        respond.fail(unavailable());
    }
    callers.await.unwrap();
    attempts
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_retried_out_of_the_floor_alone() {
    // With no floor there is nothing to spend, however many calls fail.
    let none = RetryPolicy::new(2, 0.2, 0, Metrics::default());
    assert_eq!(attempts_while_down(none, 1000).await, 1000);
    // The first ten seconds' floor is there at once, ten of two a second.
    let some = RetryPolicy::new(2, 0.2, 2, Metrics::default());
    let attempts = attempts_while_down(some, 1000).await;
    assert!((1020..=1040).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_go_well_pay_for_a_fifth_as_many_retries() {
    let policy = RetryPolicy::new(1, 0.2, 0, Metrics::default());
    let (mut service, mut calls) = retrying(policy.clone());
    for _ in 0..100 {
        let reply = service.ready().await.unwrap().call(UnaryCall::example());
        calls.recv().await.unwrap().1.ok();
        reply.await.unwrap();
    }
    assert_eq!(attempts_while_down(policy, 100).await, 100 + 20);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let (service, mut calls) = retrying(RetryPolicy::new(2, 0.2, 10, Metrics::default()));
    let call = UnaryCall::example().until(Deadline::after(Duration::from_millis(500)));
    let reply = tokio::spawn(service.oneshot(call));
    let later = Failure::new(Cause::Answered(Pushback::After(Duration::from_secs(1))), Status::unavailable("later"));
    calls.recv().await.unwrap().1.fail(later);
    let failure = reply.await.unwrap().unwrap_err();
    assert_eq!((failure.status.message(), calls.recv().await.is_none()), ("later", true));
}

#[tokio::test(start_paused = true)]
async fn the_backend_says_when() {
    let (service, mut calls) = retrying(RetryPolicy::new(1, 0.2, 10, Metrics::default()));
    let reply = tokio::spawn(service.oneshot(UnaryCall::example()));
    let begun = tokio::time::Instant::now();
    let later = Failure::new(Cause::Answered(Pushback::After(Duration::from_secs(7))), Status::unavailable("later"));
    calls.recv().await.unwrap().1.fail(later);
    calls.recv().await.unwrap().1.ok();
    reply.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_happen_twice_is_sent_once() {
    let (service, mut calls) = retrying(RetryPolicy::new(2, 0.2, 10, Metrics::default()));
    let reply = tokio::spawn(service.oneshot(UnaryCall::non_idempotent()));
    calls.recv().await.unwrap().1.fail(unavailable());
    reply.await.unwrap().unwrap_err();
    assert!(calls.recv().await.is_none());
}
