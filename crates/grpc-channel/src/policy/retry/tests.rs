use proptest::{
    prelude::{Just, Strategy, any, prop_oneof},
    prop_assert, prop_assert_eq, proptest,
};
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _, retry::Retry};

use super::*;
use crate::{
    code_set::CodeSet,
    config::Config,
    method::Method,
    method_policy::MethodPolicy,
    mock::{Calls, MockService, mock_service},
};

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

/// What is known of a unary call of which each failure may be retried `max` times.
fn facts(is_idempotent: bool, max: u32) -> Facts {
    let policy = RetryPolicy::of(&Config { retries: max, ..Config::default() });
    Facts { policy, is_idempotent, is_unary: true, can_be_sent: true, wait_for_ready: false }
}

proptest! {
    #[test]
    fn what_may_have_had_an_effect_is_not_sent_twice(
        cause in cause(),
        code in 0..CODES.len(),
        tried in 0_u32..9,
        max in 0_u32..9,
        streams in any::<bool>(),
    ) {
        let failure = Failure::new(cause, Status::new(CODES[code], ""));
        let was_never_sent = matches!(cause, Cause::Unsent | Cause::Unreachable);
        // A call that is not idempotent, and a stream even if it is.
        let facts = Facts { is_unary: !streams, ..facts(streams, max) };
        let decision = decide(facts, &failure, RetryCount { retries: tried, transparent: 0 });
        prop_assert!(was_never_sent || decision == RetryDecision::No);
    }

    #[test]
    fn a_stream_of_which_messages_were_sent_stays_failed(cause in cause(), wait_for_ready in any::<bool>()) {
        let failure = Failure::new(cause, Status::unavailable(""));
        let facts = Facts { can_be_sent: false, wait_for_ready, ..facts(true, 9) };
        prop_assert_eq!(decide(facts, &failure, RetryCount::default()), RetryDecision::No);
    }

    #[test]
    fn no_call_is_sent_again_without_end(is_idempotent in any::<bool>(), cause in cause(), max in 0_u32..9) {
        let failure = Failure::new(cause, Status::unavailable(""));
        let mut count = RetryCount::default();
        loop {
            match decide(facts(is_idempotent, max), &failure, count) {
                RetryDecision::No => break,
                RetryDecision::Transparent => count.transparent += 1,
                RetryDecision::BackOff | RetryDecision::After(_) => count.retries += 1,
                RetryDecision::WhenReachable => prop_assert!(false, "only calls that wait for a ready endpoint do"),
            }
            prop_assert!(count.retries <= max && count.transparent <= MAX_TRANSPARENT_RETRIES);
        }
        prop_assert!(max > 0 || count == RetryCount::default(), "0 retries are none at all");
    }

    #[test]
    fn only_unavailable_answers_are_asked_for_again(pushback in pushback(), code in 0..CODES.len()) {
        let failure = Failure::new(Cause::Answered(pushback), Status::new(CODES[code], ""));
        let expected = match (CODES[code], pushback) {
            (Code::Unavailable, Pushback::Unsaid) => RetryDecision::BackOff,
            (Code::Unavailable, Pushback::After(wait)) => RetryDecision::After(wait),
            _ => RetryDecision::No,
        };
        prop_assert_eq!(decide(facts(true, 2), &failure, RetryCount::default()), expected);
    }

    #[test]
    fn a_service_config_says_which_codes_and_that_the_method_may_be_sent_again(
        listed in 1..CODES.len(),
        code in 1..CODES.len(),
    ) {
        let mut facts = facts(false, 2);
        facts.policy = RetryPolicy { codes: CodeSet::only(CODES[listed]), is_explicit: true, ..facts.policy };
        let failure = Failure::new(Cause::Answered(Pushback::Unsaid), Status::new(CODES[code], ""));
        let decision = decide(facts, &failure, RetryCount::default());
        prop_assert_eq!(decision == RetryDecision::BackOff, listed == code);
    }
}

#[test]
fn a_call_that_waits_for_a_ready_endpoint_does_so_however_often_it_was_sent() {
    let unreachable = Failure::new(Cause::Unreachable, Status::unavailable(""));
    let facts = Facts { wait_for_ready: true, ..facts(false, 0) };
    let count = RetryCount { retries: 9, transparent: 9 };
    assert_eq!(decide(facts, &unreachable, count), RetryDecision::WhenReachable);
}

fn unavailable() -> Failure {
    Failure::new(Cause::Answered(Pushback::Unsaid), Status::unavailable("down"))
}

/// Returns a retrier with this budget above a service that fails as told.
fn retrying(budget: &Arc<Budget>) -> (Retry<Retrier, MockService>, Calls) {
    let (inner, calls) = mock_service();
    let endpoints = Arc::new(EndpointSet::new(0.5));
    (Retry::new(Retrier::new(Arc::clone(budget), endpoints, Metrics::default()), inner), calls)
}

/// Returns a budget of a fifth, and `floor` a second.
fn budget(floor: u32) -> Arc<Budget> {
    Arc::new(Budget::share(0.2, floor))
}

/// Returns an idempotent call with so many retries.
fn call_with(retries: u32) -> Call {
    let config = Config { retries, ..Config::default() };
    Call::of(Method::with_policy(true, MethodPolicy::of(&config)), b"")
}

/// Calls `times` times a service that is down, and counts what reaches it.
async fn attempts_while_down(budget: &Arc<Budget>, retries: u32, times: u32) -> u32 {
    let (service, mut calls) = retrying(budget);
    let callers = tokio::spawn(async move {
        for _ in 0..times {
            service.clone().oneshot(call_with(retries)).await.unwrap_err();
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
    assert_eq!(attempts_while_down(&budget(0), 2, 1000).await, 1000);
    // The first ten seconds' floor is there at once, ten of two a second.
    let attempts = attempts_while_down(&budget(2), 2, 1000).await;
    assert!((1020..=1040).contains(&attempts), "{attempts}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_go_well_pay_for_a_fifth_as_many_retries() {
    let budget = budget(0);
    let (mut service, mut calls) = retrying(&budget);
    for _ in 0..100 {
        let reply = service.ready().await.unwrap().call(Call::example());
        calls.recv().await.unwrap().1.ok();
        reply.await.unwrap();
    }
    assert_eq!(attempts_while_down(&budget, 1, 100).await, 100 + 20);
}

#[tokio::test(start_paused = true)]
async fn grpcs_throttling_stops_retries_when_half_of_the_tokens_are_gone() {
    let budget = Arc::new(Budget::tokens(10.0, 0.1));
    // Each failed attempt costs a token, the last one of a call too: the fifth leaves half of them, which allows no retry.
    assert_eq!(attempts_while_down(&budget, 1, 100).await, 100 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let (service, mut calls) = retrying(&budget(10));
    let call = Call::example().with_deadline(Deadline::after(Duration::from_millis(500)));
    let reply = tokio::spawn(service.oneshot(call));
    let later = Failure::new(Cause::Answered(Pushback::After(Duration::from_secs(1))), Status::unavailable("later"));
    calls.recv().await.unwrap().1.fail(later);
    let failure = reply.await.unwrap().unwrap_err();
    assert_eq!((failure.status.message(), calls.recv().await.is_none()), ("later", true));
}

#[tokio::test(start_paused = true)]
async fn the_backend_says_when() {
    let (service, mut calls) = retrying(&budget(10));
    let reply = tokio::spawn(service.oneshot(Call::example()));
    let begun = tokio::time::Instant::now();
    let later = Failure::new(Cause::Answered(Pushback::After(Duration::from_secs(7))), Status::unavailable("later"));
    calls.recv().await.unwrap().1.fail(later);
    calls.recv().await.unwrap().1.ok();
    reply.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_happen_twice_is_sent_once() {
    let (service, mut calls) = retrying(&budget(10));
    let reply = tokio::spawn(service.oneshot(Call::non_idempotent()));
    calls.recv().await.unwrap().1.fail(unavailable());
    reply.await.unwrap().unwrap_err();
    assert!(calls.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_not_sent_goes_elsewhere_and_one_that_was_does_not() {
    let (service, mut calls) = retrying(&budget(10));
    let reply = tokio::spawn(service.oneshot(Call::stream()));
    let unsent = Failure::new(Cause::Unsent, Status::unavailable(""));
    calls.recv().await.unwrap().1.fail(unsent);
    calls.recv().await.unwrap().1.fail(unavailable());
    assert_eq!(reply.await.unwrap().unwrap_err().status.message(), "down");
    assert!(calls.recv().await.is_none());
}
