//! Every strategy and policy on a paused clock: order, figures and cancellation.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fan_out::{Attempts, CallError, CallState, FailurePolicy, FanOut, Outcome, Strategy, call, step};
use tokio::time::{Instant, sleep};

const ALL: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

async fn answer(after: u64) -> Result<u64, String> {
    sleep(secs(after)).await;
    Ok(after)
}

async fn fail(after: u64) -> Result<u64, String> {
    sleep(secs(after)).await;
    Err(format!("failed after {after} s"))
}

/// Counts the futures that were dropped before they ended.
#[derive(Clone, Default)]
struct Dropped(Arc<AtomicUsize>);

impl Dropped {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    async fn watch<T>(self, future: impl Future<Output = T>) -> T {
        struct Guard(Option<Dropped>);
        impl Drop for Guard {
            fn drop(&mut self) {
                if let Some(dropped) = &self.0 {
                    dropped.0.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        let mut guard = Guard(Some(self));
        let value = future.await;
        guard.0 = None;
        value
    }
}

fn states<R>(outcome: &Outcome<R>) -> Vec<CallState> {
    outcome.report.calls.iter().map(|call| call.state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_join_begins_when_it_is_awaited() {
    let join = FanOut::new(Strategy::Concurrent).join((call("a", answer(3)), call("b", answer(2))));
    sleep(secs(5)).await;
    let report = join.await.report;
    assert_eq!((report.wall, report.saved), (secs(3), secs(2)));
    let starts: Vec<_> = report.calls.iter().map(|call| call.time.unwrap().start).collect();
    assert_eq!(starts, [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn in_turn_is_the_sum_and_together_is_the_slowest() {
    for (strategy, wall, saved, avoidable) in
        [(Strategy::Sequential, 5, 0, 2), (Strategy::Concurrent, 3, 2, 0), (Strategy::Spawned, 3, 2, 0)]
    {
        let begun = Instant::now();
        let outcome = FanOut::new(strategy).join((call("a", answer(3)), call("b", answer(2)))).await;
        assert_eq!(begun.elapsed(), secs(wall), "{strategy}");
        let ((a, b), report) = outcome.into_result().unwrap();
        assert_eq!((a, b), (3, 2));
        assert_eq!(
            (report.strategy, report.wall, report.total, report.saved, report.avoidable),
            (strategy, secs(wall), secs(5), secs(saved), secs(avoidable))
        );
        let critical: Vec<bool> = report.calls.iter().map(|call| call.critical).collect();
        assert_eq!(critical, if strategy == Strategy::Sequential { [false, true] } else { [true, false] });
    }
}

#[tokio::test(start_paused = true)]
async fn two_callers_of_a_sequential_handler_do_not_wait_for_each_other() {
    let handler = || FanOut::new(Strategy::Sequential).join((call("a", answer(3)), call("b", answer(3))));
    let begun = Instant::now();
    let (one, two) = futures::join!(handler(), handler());
    assert_eq!(begun.elapsed(), secs(6));
    assert_eq!((one.report.wall, two.report.wall), (secs(6), secs(6)));
}

#[tokio::test(start_paused = true)]
async fn eight_calls_of_eight_types() {
    for strategy in ALL {
        let outcome = FanOut::new(strategy)
            .join((
                call("1", async { Ok::<_, String>(1_u8) }),
                call("2", async { Ok("two") }),
                call("3", async { Ok(3.0) }),
                call("4", async { Ok(()) }),
                call("5", async { Ok('5') }),
                call("6", async { Ok(vec![6]) }),
                call("7", async { Ok(Some(7)) }),
                call("8", answer(8)),
            ))
            .await;
        let (values, report) = outcome.into_result().unwrap();
        assert_eq!(values, (1, "two", 3.0, (), '5', vec![6], Some(7), 8));
        assert!(report.calls[7].critical);
        assert_eq!(report.calls.iter().map(|call| &*call.name).collect::<String>(), "12345678");
    }
}

#[tokio::test(start_paused = true)]
async fn in_turn_the_first_failure_skips_the_rest() {
    let polled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&polled);
    let second = async move {
        count.fetch_add(1, Ordering::SeqCst);
        answer(3).await
    };
    let outcome = FanOut::new(Strategy::Sequential).join((call("a", fail(1)), call("b", second))).await;
    assert_eq!(polled.load(Ordering::SeqCst), 0);
    assert_eq!(states(&outcome), [CallState::Failed, CallState::Skipped]);
    assert_eq!((outcome.report.calls[1].time, outcome.report.calls[1].attempts), (None, 0));
    assert_eq!(outcome.report.wall, secs(1));
    let error = outcome.into_result().unwrap_err();
    assert_eq!((&*error.name, error.index), ("a", 0));
    assert_eq!(error.to_string(), "call \"a\": failed after 1 s");
}

#[tokio::test(start_paused = true)]
async fn together_the_first_failure_cancels_the_rest_at_once() {
    for strategy in [Strategy::Concurrent, Strategy::Spawned] {
        let dropped = Dropped::default();
        let begun = Instant::now();
        let outcome = FanOut::new(strategy)
            .join((
                call("a", dropped.clone().watch(answer(30))),
                call("b", fail(1)),
                call("c", dropped.clone().watch(answer(20))),
            ))
            .await;
        assert_eq!(begun.elapsed(), secs(1), "{strategy}");
        assert_eq!(dropped.get(), 2, "both are gone before the outcome is there");
        assert_eq!(states(&outcome), [CallState::Cancelled, CallState::Failed, CallState::Cancelled]);
        assert_eq!(outcome.results.0, Err(CallError::Cancelled));
        assert_eq!(outcome.report.calls[0].time.unwrap().duration, secs(1));
        assert_eq!(&*outcome.into_result().unwrap_err().name, "b");
    }
}

#[tokio::test(start_paused = true)]
async fn best_effort_keeps_what_came() {
    for strategy in ALL {
        let outcome = FanOut::new(strategy)
            .on_failure(FailurePolicy::BestEffort)
            .join((call("a", fail(1)), call("b", answer(3)), call("c", fail(2))))
            .await;
        assert_eq!(states(&outcome), [CallState::Failed, CallState::Ok, CallState::Failed], "{strategy}");
        assert_eq!(outcome.results.1, Ok(3));
        let messages: Vec<_> = outcome.errors().iter().map(|error| error.map(ToString::to_string)).collect();
        assert_eq!(messages, [Some("failed after 1 s".into()), None, Some("failed after 2 s".into())]);
        assert_eq!(outcome.into_result().unwrap_err().index, 0, "the failure that came first");
    }
}

#[tokio::test(start_paused = true)]
async fn the_failure_that_came_first_is_the_one_reported() {
    for strategy in [Strategy::Concurrent, Strategy::Spawned] {
        let outcome = FanOut::new(strategy)
            .on_failure(FailurePolicy::BestEffort)
            .join((call("slow", fail(2)), call("fast", fail(1))))
            .await;
        assert_eq!(&*outcome.into_result().unwrap_err().name, "fast");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_takes_the_sum_whatever_the_strategy() {
    for strategy in ALL {
        let chain =
            call("user", answer(3)).method("U/Get").then(step("country", |n: &u64| answer(n - 1)).method("C/Get"));
        let outcome = FanOut::new(strategy).join((chain,)).await;
        let (((user, country),), report) = outcome.into_result().unwrap();
        assert_eq!((user, country), (3, 2));
        assert_eq!((report.wall, report.saved, report.avoidable), (secs(5), secs(0), secs(0)), "{strategy}");
        assert_eq!(report.calls[1].time.unwrap().start, secs(3));
        assert_eq!((&*report.calls[0].method, &*report.calls[1].method), ("U/Get", "C/Get"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_chain_skips_its_rest_and_leaves_the_others() {
    for strategy in ALL {
        let chain = call("a", fail(1)).then(step("b", |n: &u64| answer(*n))).then(step("c", |n: &u64| answer(*n)));
        let outcome = FanOut::new(strategy)
            .on_failure(FailurePolicy::BestEffort)
            .join((chain, call("d", answer(2)), call("e", answer(1)).then(step("f", |n: &u64| answer(*n)))))
            .await;
        let (failed, skipped, ok) = (CallState::Failed, CallState::Skipped, CallState::Ok);
        assert_eq!(states(&outcome), [failed, skipped, skipped, ok, ok, ok], "{strategy}");
        let (((_, b), c), d, rest) = outcome.results;
        assert_eq!((b, c, d, rest), (Err(CallError::Skipped), Err(CallError::Skipped), Ok(2), (Ok(1), Ok(1))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_its_call() {
    for strategy in ALL {
        let boom = async {
            sleep(secs(1)).await;
            let n: u64 = "x".len() as u64;
            assert!(n == 0, "boom {n}");
            Ok::<_, String>(n)
        };
        let outcome = FanOut::new(strategy)
            .on_failure(FailurePolicy::BestEffort)
            .join((call("a", boom), call("b", answer(2))))
            .await;
        assert_eq!(outcome.results, (Err(CallError::Panicked("boom 1".into())), Ok(2)), "{strategy}");
        assert_eq!(states(&outcome), [CallState::Failed, CallState::Ok]);

        let outcome = FanOut::new(strategy)
            .join((call("a", answer(1))
                .then(step("b", |_: &u64| -> std::future::Ready<Result<(), String>> { panic!("made") })),))
            .await;
        assert_eq!(outcome.results.0.1, Err(CallError::Panicked("made".into())), "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_stops_every_call() {
    for strategy in ALL {
        let dropped = Dropped::default();
        let join = FanOut::new(strategy)
            .join((call("a", dropped.clone().watch(answer(30))), call("b", dropped.clone().watch(answer(30)))));
        assert!(tokio::time::timeout(secs(1), join).await.is_err());
        // An aborted task needs one turn of the scheduler to be dropped.
        tokio::task::yield_now().await;
        assert_eq!(dropped.get(), if strategy == Strategy::Sequential { 1 } else { 2 }, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_the_callers_count() {
    let (sent, never) = (Attempts::default(), Attempts::default());
    let count = sent.clone();
    let twice = async move {
        count.add();
        count.add();
        answer(1).await
    };
    let outcome = FanOut::new(Strategy::Concurrent)
        .join((call("a", twice).attempts(&sent), call("b", answer(1)).attempts(&never), call("c", answer(1))))
        .await;
    let attempts: Vec<u32> = outcome.report.calls.iter().map(|call| call.attempts).collect();
    assert_eq!(attempts, [2, 0, 1]);
}

#[tokio::test]
async fn spawned_calls_run_in_tasks_of_their_own() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let note = |ids: &Arc<Mutex<Vec<_>>>| {
        let ids = Arc::clone(ids);
        async move {
            ids.lock().unwrap().push(tokio::task::try_id());
            Ok::<_, String>(())
        }
    };
    let _ = FanOut::new(Strategy::Spawned).join((call("a", note(&ids)), call("b", note(&ids)))).await;
    let ids = ids.lock().unwrap();
    assert!(ids[0].is_some() && ids[1].is_some() && ids[0] != ids[1], "{ids:?}");
}
