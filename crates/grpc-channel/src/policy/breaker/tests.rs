use proptest::{collection::vec, prelude::any, prop_assert, proptest, sample::Index};
use tonic::Code;
use tower::ServiceExt as _;

use super::*;
use crate::{
    error::Pushback,
    mock::{Calls, MockService, mock_service},
};

const WAIT: Duration = Duration::from_secs(1);

fn breaker() -> (Breaker<MockService>, Calls) {
    let (inner, calls) = mock_service();
    (Breaker::new(inner, Arc::new(SharedBreaker::new("test".into(), 3, WAIT))), calls)
}

fn down() -> Failure {
    Failure::new(Cause::Answered(Pushback::Unsaid), Status::unavailable("down"))
}

/// A failure that the caller asked for.
fn made_by_a_caller() -> Failure {
    let mut status = Status::unavailable("as asked");
    rpc_layers::blame::mark_callers(status.metadata_mut());
    Failure::of_attempt(status)
}

/// Opens the breaker by three failed calls.
async fn open(service: &Breaker<MockService>, calls: &mut Calls) {
    for _ in 0..3 {
        let reply = tokio::spawn(service.clone().oneshot(Call::example()));
        calls.recv().await.unwrap().1.fail(down());
        reply.await.unwrap().unwrap_err();
    }
}

async fn is_rejected(service: &Breaker<MockService>) -> bool {
    match service.clone().oneshot(Call::example()).await {
        Err(failure) => failure.cause == Cause::CircuitOpen,
        Ok(_) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_a_probe_closes_it() {
    let (service, mut calls) = breaker();
    open(&service, &mut calls).await;
    assert!(is_rejected(&service).await);
    tokio::time::advance(WAIT).await;
    let probe = tokio::spawn(service.clone().oneshot(Call::example()));
    let (_, responder) = calls.recv().await.unwrap();
    assert_eq!(service.state.as_number(), 1);
    assert!(is_rejected(&service).await, "one probe at a time");
    responder.ok();
    probe.await.unwrap().unwrap();
    assert_eq!(service.state.as_number(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_again_and_one_that_is_dropped_makes_room_for_another() {
    let (service, mut calls) = breaker();
    open(&service, &mut calls).await;
    tokio::time::advance(WAIT).await;
    let probe = tokio::spawn(service.clone().oneshot(Call::example()));
    calls.recv().await.unwrap().1.fail(down());
    probe.await.unwrap().unwrap_err();
    assert!(is_rejected(&service).await);
    tokio::time::advance(WAIT).await;
    let dropped = tokio::spawn(service.clone().oneshot(Call::example()));
    calls.recv().await.unwrap();
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let next = tokio::spawn(service.clone().oneshot(Call::example()));
    calls.recv().await.unwrap().1.ok();
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn results_of_calls_from_before_it_opened_are_ignored() {
    let (service, mut calls) = breaker();
    let late: Vec<_> = (0..2).map(|_| tokio::spawn(service.clone().oneshot(Call::example()))).collect();
    let late_success = calls.recv().await.unwrap().1;
    let late_failure = calls.recv().await.unwrap().1;
    open(&service, &mut calls).await;
    late_success.ok();
    tokio::task::yield_now().await;
    assert!(is_rejected(&service).await, "a late success does not close it");
    tokio::time::advance(WAIT).await;
    let probe = tokio::spawn(service.clone().oneshot(Call::example()));
    let (_, responder) = calls.recv().await.unwrap();
    late_failure.fail(down());
    tokio::task::yield_now().await;
    assert_eq!(service.state.as_number(), 1, "a late failure is not the probe's");
    responder.ok();
    probe.await.unwrap().unwrap();
    assert_eq!(service.state.as_number(), 0);
    for call in late {
        let _ = call.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_and_mistakes_of_callers_do_not_open_it() {
    let (service, mut calls) = breaker();
    let codes = [Code::DeadlineExceeded, Code::NotFound, Code::InvalidArgument];
    for code in codes.repeat(3) {
        let status = Status::new(code, "");
        let reply = tokio::spawn(service.clone().oneshot(Call::example()));
        calls.recv().await.unwrap().1.fail(Failure::of_attempt(status));
        reply.await.unwrap().unwrap_err();
    }
    assert_eq!(service.state.as_number(), 0);
}

#[tokio::test(start_paused = true)]
async fn failures_that_callers_make_neither_open_it_nor_hide_those_of_the_backend() {
    let (service, mut calls) = breaker();
    let fail = async |calls: &mut Calls, failure| {
        let reply = tokio::spawn(service.clone().oneshot(Call::example()));
        calls.recv().await.unwrap().1.fail(failure);
        reply.await.unwrap().unwrap_err();
    };
    for _ in 0..10 {
        fail(&mut calls, made_by_a_caller()).await;
    }
    assert_eq!(service.state.as_number(), 0);
    for _ in 0..3 {
        fail(&mut calls, made_by_a_caller()).await;
        fail(&mut calls, down()).await;
    }
    assert_eq!(service.state.as_number(), 2, "three failures in a row of those that count");
    tokio::time::advance(WAIT).await;
    fail(&mut calls, made_by_a_caller()).await;
    assert_eq!(service.state.as_number(), 2, "as a probe, it decides nothing");
    fail(&mut calls, down()).await;
    assert!(is_rejected(&service).await, "the next call was the probe");
}

#[test]
fn each_change_is_one_line_of_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || {
        let state = SharedBreaker::new("user".into(), 1, Duration::ZERO);
        let ended = |result: Result<(), &Failure>| {
            let epoch = state.admit().unwrap();
            match result {
                Ok(()) => state.update(None, |breaker| breaker.succeeded(epoch)),
                Err(failure) => state.update(Some(failure), |breaker| breaker.failed(epoch, Instant::now())),
            }
        };
        ended(Err(&down()));
        for _ in 0..100 {
            let epoch = state.admit().unwrap();
            state.update(None, |breaker| breaker.abandoned(epoch, Instant::now()));
        }
        ended(Err(&down()));
        ended(Ok(()));
    });
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.split_once("circuit breaker ").unwrap().1).collect();
    let error = "The service is currently unavailable: down";
    assert_eq!(
        lines,
        [
            &format!("opened: too many calls in a row have failed backend=\"user\" error={error}"),
            "is half open: a probe is sent backend=\"user\"",
            &format!("opened again: its probe failed backend=\"user\" error={error}"),
            "is half open: a probe is sent backend=\"user\"",
            "closed: its probe succeeded backend=\"user\"",
        ]
    );
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_judged_by_its_end() {
    let (service, mut calls) = breaker();
    open(&service, &mut calls).await;
    tokio::time::advance(WAIT).await;
    let probe = tokio::spawn(service.clone().oneshot(Call::stream()));
    calls.recv().await.unwrap().1.stream();
    let Reply::Stream(reply) = probe.await.unwrap().unwrap() else { panic!("it streams") };
    assert_eq!(service.state.as_number(), 1, "its headers decide nothing");
    let mut body = reply.into_body();
    std::future::poll_fn(|cx| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), cx)).await;
    assert_eq!(service.state.as_number(), 0);
}

proptest! {
    #[test]
    fn whatever_its_calls_end_with_another_one_gets_through(
        events in vec((0_u8..4, any::<Index>(), 0_u64..3000), 0..200),
    ) {
        let (mut breaker, mut now, mut under_way) = (CircuitBreaker::new(3, WAIT), Instant::now(), Vec::new());
        for (event, which, ms) in events {
            now += Duration::from_millis(ms);
            if event == 0 {
                let (next, admitted) = breaker.admit(now);
                breaker = next;
                under_way.extend(admitted);
            } else if !under_way.is_empty() {
                let epoch = under_way.swap_remove(which.index(under_way.len()));
                breaker = match event {
                    1 => breaker.succeeded(epoch),
                    2 => breaker.failed(epoch, now),
                    _ => breaker.abandoned(epoch, now),
                };
            }
            let is_awaited = under_way.contains(&breaker.epoch);
            prop_assert!(is_awaited || breaker.admit(now + WAIT).1.is_some(), "{breaker:?} has no way back");
        }
    }
}
