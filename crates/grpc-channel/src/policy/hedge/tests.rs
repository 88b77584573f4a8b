use tonic::Status;

use super::*;
use crate::{
    call::{CallInner, Wanted},
    code_set::CodeSet,
    config::Config,
    error::Pushback,
    method::Method,
    method_policy::MethodPolicy,
    mock::{Calls, MockService, mock_service},
};

const MS: Duration = Duration::from_millis(1);

/// Returns the layer with a budget of this share of the calls, and two a second.
fn hedged(share: f32) -> (Hedge<MockService>, Calls) {
    let (inner, calls) = mock_service();
    (Hedge::new(inner, Arc::new(Budget::share(share, 2)), Metrics::default()), calls)
}

/// Returns a call that is hedged so.
fn call(is_idempotent: bool, hedge: HedgePolicy) -> Call {
    let policy = MethodPolicy { hedge, ..MethodPolicy::of(&Config::default()) };
    Call::of(Method::with_policy(is_idempotent, policy), b"")
}

/// Returns an idempotent call that is hedged after this time.
fn late_after(delay: Duration) -> Call {
    call(true, HedgePolicy::after(HedgeAfter::Delay(delay)))
}

fn failure(cause: Cause, status: Status) -> Failure {
    Failure::new(cause, status)
}

#[tokio::test(start_paused = true)]
async fn a_second_call_goes_out_after_the_delay_and_the_first_answer_wins() {
    let (service, mut calls) = hedged(1.0);
    let (call, begun) = (late_after(50 * MS), Instant::now());
    let attempts = call.inner.attempts.clone();
    let reply = tokio::spawn(service.oneshot(call));
    let (_, first) = calls.recv().await.unwrap();
    let (_, second) = calls.recv().await.unwrap();
    assert_eq!(begun.elapsed(), 50 * MS);
    second.ok();
    reply.await.unwrap().unwrap();
    assert!(first.is_abandoned(), "the loser is dropped");
    assert_eq!((attempts.hedges(), attempts.is_hedge_won()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_in_time_is_sent_once() {
    let (service, mut calls) = hedged(1.0);
    let reply = tokio::spawn(service.oneshot(late_after(50 * MS)));
    let (_, first) = calls.recv().await.unwrap();
    tokio::time::sleep(49 * MS).await;
    first.ok();
    reply.await.unwrap().unwrap();
    assert!(calls.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_not_happen_twice_and_a_hedge_that_is_off_are_sent_once() {
    let after = HedgePolicy::after(HedgeAfter::Delay(MS));
    let streams = Call {
        inner: Arc::new(CallInner { wanted: Wanted::Stream, ..(*late_after(MS).inner).clone() }),
        ..late_after(MS)
    };
    for call in [call(false, after), call(true, HedgePolicy::after(HedgeAfter::Off)), streams] {
        let (service, mut calls) = hedged(1.0);
        let reply = tokio::spawn(service.oneshot(call));
        let (_, first) = calls.recv().await.unwrap();
        tokio::time::sleep(1000 * MS).await;
        first.ok();
        reply.await.unwrap().unwrap();
        assert!(calls.recv().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_way_does_not_win_an_answer_does() {
    let lost = || failure(Cause::Lost, Status::unavailable("lost"));
    let missing = || failure(Cause::Answered(Pushback::Unsaid), Status::not_found("no such user"));
    // (what ends first, whether it is the hedge, what ends later, the code)
    for (early, hedge_first, late, code) in [
        (lost(), true, Ok(()), tonic::Code::Ok),
        (lost(), false, Ok(()), tonic::Code::Ok),
        (lost(), false, Err(lost()), tonic::Code::Unavailable),
        (missing(), true, Ok(()), tonic::Code::NotFound),
    ] {
        let (service, mut calls) = hedged(1.0);
        let reply = tokio::spawn(service.oneshot(late_after(MS)));
        let (_, first) = calls.recv().await.unwrap();
        let (_, second) = calls.recv().await.unwrap();
        let (now, later) = if hedge_first { (second, first) } else { (first, second) };
        now.fail(early);
        tokio::task::yield_now().await;
        match late {
            Ok(()) => later.ok(),
            Err(failure) => later.fail(failure),
        }
        let result = reply.await.unwrap();
        assert_eq!(result.map_or_else(|failure| failure.status.code(), |_| tonic::Code::Ok), code);
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_bounds_the_hedges() {
    let (service, mut calls) = hedged(0.05);
    let callers = tokio::spawn(async move {
        for _ in 0..1000 {
            service.clone().oneshot(late_after(MS)).await.unwrap();
        }
    });
    let mut sent = 0;
    // Each call is late, so each would be hedged.
    while let Some((_, respond)) = calls.recv().await {
        sent += 1;
        tokio::spawn(async move {
            tokio::time::sleep(2 * MS).await;
            respond.ok();
        });
    }
    callers.await.unwrap();
    // A twentieth, and two a second: the floor of the first ten seconds is there at once.
    assert!((1050..=1075).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_service_config_may_ask_for_several_hedges_and_says_what_is_not_fatal() {
    let non_fatal = Some(CodeSet::only(tonic::Code::Unavailable));
    let policy = HedgePolicy { after: HedgeAfter::Delay(50 * MS), max_attempts: 4, non_fatal };
    let (service, mut calls) = hedged(1.0);
    let (call, begun) = (call(false, policy), Instant::now());
    let attempts = call.inner.attempts.clone();
    let reply = tokio::spawn(service.oneshot(call));
    let (_, first) = calls.recv().await.unwrap();
    let (_, second) = calls.recv().await.unwrap();
    assert_eq!(begun.elapsed(), 50 * MS);
    // One that is not fatal sends the next at once.
    second.fail(failure(Cause::Answered(Pushback::Unsaid), Status::unavailable("busy")));
    let (_, third) = calls.recv().await.unwrap();
    assert_eq!(begun.elapsed(), 50 * MS);
    let (_, fourth) = calls.recv().await.unwrap();
    assert_eq!(begun.elapsed(), 100 * MS);
    // There are four at most, and a fatal one settles the call.
    tokio::time::sleep(1000 * MS).await;
    assert!(calls.try_recv().is_err());
    third.fail(failure(Cause::Answered(Pushback::Unsaid), Status::not_found("nobody")));
    assert_eq!(reply.await.unwrap().unwrap_err().status.code(), tonic::Code::NotFound);
    assert!(first.is_abandoned() && fourth.is_abandoned());
    assert_eq!((attempts.hedges(), attempts.is_hedge_won()), (3, true));
}

#[tokio::test(start_paused = true)]
async fn a_server_may_put_off_the_next_hedge_or_refuse_it() {
    let unavailable = |pushback| failure(Cause::Answered(pushback), Status::unavailable("busy"));
    let non_fatal = Some(CodeSet::only(tonic::Code::Unavailable));
    let policy = HedgePolicy { after: HedgeAfter::Delay(50 * MS), max_attempts: 4, non_fatal };
    let (service, mut calls) = hedged(1.0);
    let begun = Instant::now();
    let reply = tokio::spawn(service.oneshot(call(false, policy)));
    calls.recv().await.unwrap().1.fail(unavailable(Pushback::After(700 * MS)));
    let (_, second) = calls.recv().await.unwrap();
    assert_eq!(begun.elapsed(), 700 * MS);
    second.fail(unavailable(Pushback::Never));
    assert_eq!(reply.await.unwrap().unwrap_err().status.message(), "busy");
    assert!(calls.recv().await.is_none(), "two attempts of four");
}

#[tokio::test(start_paused = true)]
async fn hedges_stop_when_half_of_grpcs_tokens_are_gone() {
    let non_fatal = Some(CodeSet::only(tonic::Code::Unavailable));
    let policy = HedgePolicy { after: HedgeAfter::Delay(50 * MS), max_attempts: 5, non_fatal };
    let (inner, mut calls) = mock_service();
    let service = Hedge::new(inner, Arc::new(Budget::tokens(4.0, 0.1)), Metrics::default());
    let reply = tokio::spawn(service.oneshot(call(false, policy)));
    let mut attempts = 0;
    while let Some((_, responder)) = calls.recv().await {
        attempts += 1;
        responder.fail(failure(Cause::Answered(Pushback::Unsaid), Status::unavailable("down")));
    }
    reply.await.unwrap().unwrap_err();
    // The first failure leaves three of four tokens, the second leaves two: half, which allows no third attempt.
    assert_eq!(attempts, 2);
}
