use tonic::Status;

use super::*;
use crate::{
    error::Pushback,
    mock::{Calls, MockService, mock_service},
};

const MS: Duration = Duration::from_millis(1);

fn hedged(after: HedgeAfter, share: f32) -> (Hedge<MockService>, Calls) {
    let (inner, calls) = mock_service();
    (Hedge::new(inner, after, share, Metrics::default()), calls)
}

fn failure(cause: Cause, status: Status) -> Failure {
    Failure::new(cause, status)
}

#[tokio::test(start_paused = true)]
async fn a_second_call_goes_out_after_the_delay_and_the_first_answer_wins() {
    let (service, mut calls) = hedged(HedgeAfter::Delay(50 * MS), 1.0);
    let (call, begun) = (UnaryCall::example(), Instant::now());
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
    let (service, mut calls) = hedged(HedgeAfter::Delay(50 * MS), 1.0);
    let reply = tokio::spawn(service.oneshot(UnaryCall::example()));
    let (_, first) = calls.recv().await.unwrap();
    tokio::time::sleep(49 * MS).await;
    first.ok();
    reply.await.unwrap().unwrap();
    assert!(calls.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_must_not_happen_twice_and_a_hedge_that_is_off_are_sent_once() {
    for (after, call) in [(HedgeAfter::Delay(MS), UnaryCall::non_idempotent()), (HedgeAfter::Off, UnaryCall::example())]
    {
        let (service, mut calls) = hedged(after, 1.0);
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
        let (service, mut calls) = hedged(HedgeAfter::Delay(MS), 1.0);
        let reply = tokio::spawn(service.oneshot(UnaryCall::example()));
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
    let (service, mut calls) = hedged(HedgeAfter::Delay(MS), 0.05);
    let callers = tokio::spawn(async move {
        for _ in 0..1000 {
            service.clone().oneshot(UnaryCall::example()).await.unwrap();
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
async fn a_percentile_is_of_the_latest_answers() {
    let mut seen = RotatingHistogram::new();
    assert_eq!(seen.percentile(95.0), None, "nothing is known yet");
    (0..99).for_each(|_| seen.record(10 * MS));
    assert_eq!(seen.percentile(95.0), None, "too little is known yet");
    seen.record(1000 * MS);
    let p95 = seen.percentile(95.0).unwrap();
    assert!(p95.abs_diff(10 * MS) < MS, "{p95:?}");
    tokio::time::advance(WINDOW).await;
    assert!(seen.percentile(95.0).is_some(), "the window before counts while this one is young");
    tokio::time::advance(2 * WINDOW).await;
    assert_eq!(seen.percentile(95.0), None, "what is old is forgotten");
}

#[test]
fn a_setting_is_a_delay_or_a_percentile() {
    assert_eq!("off".parse(), Ok(HedgeAfter::Off));
    assert_eq!("50ms".parse(), Ok(HedgeAfter::Delay(50 * MS)));
    assert_eq!("p99.9".parse(), Ok(HedgeAfter::Percentile(99.9)));
    for bad in ["", "0s", "p0", "p100", "pxx", "soon"] {
        assert!(bad.parse::<HedgeAfter>().unwrap_err().contains("is allowed"), "{bad:?}");
    }
}
