//! Many calls on a paused clock: width, order, back-pressure and cancellation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fan_out::{CallError, CallState, FailurePolicy, FanOut, Strategy, call};
use futures::{StreamExt as _, stream::FusedStream as _};
use tokio::time::{Instant, sleep};

const ALL: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

/// Counts the calls that began, and those of them that ended or were dropped.
#[derive(Clone, Default)]
struct Meter {
    begun: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Active(Meter);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.gone.fetch_add(1, Ordering::SeqCst);
    }
}

impl Meter {
    fn enter(&self) -> Active {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(begun - self.gone.load(Ordering::SeqCst), Ordering::SeqCst);
        Active(self.clone())
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn answer(self, ms: u64) -> Result<u64, String> {
        let _active = self.enter();
        sleep(Duration::from_millis(ms)).await;
        if ms == 13 { Err("unlucky".to_owned()) } else { Ok(ms) }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_order_in_which_they_end() {
    for strategy in [Strategy::Concurrent, Strategy::Spawned] {
        let meter = Meter::default();
        let calls = [300, 100, 200].map(|ms| call("x", meter.clone().answer(ms)));
        let mut stream = FanOut::new(strategy).as_completed(8, calls);
        let mut order = Vec::new();
        while let Some(done) = stream.next().await {
            order.push((done.index, done.result.unwrap()));
        }
        assert_eq!(order, [(1, 100), (2, 200), (0, 300)], "{strategy}");
        assert!(stream.is_terminated());
        let report = stream.report();
        assert_eq!((report.wall, report.saved), (Duration::from_millis(300), Duration::from_millis(300)));
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_than_max_in_flight_run() {
    for (strategy, asked, most, wall) in
        [(Strategy::Sequential, 8, 1, 10_000), (Strategy::Concurrent, 8, 8, 1300), (Strategy::Spawned, 0, 1, 10_000)]
    {
        let meter = Meter::default();
        let calls = (0..100).map(|_| call("x", meter.clone().answer(100)));
        let begun = Instant::now();
        let mut stream = FanOut::new(strategy).as_completed(asked, calls);
        assert_eq!(stream.by_ref().count().await, 100);
        assert_eq!(meter.most.load(Ordering::SeqCst), most, "{strategy}");
        assert_eq!(begun.elapsed(), Duration::from_millis(wall));
        assert_eq!(stream.report().total, Duration::from_secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_calls() {
    for strategy in ALL {
        let width = if strategy == Strategy::Sequential { 1 } else { 4 };
        let meter = Meter::default();
        let calls = (0..1000).map(|_| call("x", meter.clone().answer(1)));
        let mut stream = FanOut::new(strategy).as_completed(4, calls);
        assert_eq!(meter.begun(), 0, "nothing runs before the stream is polled");
        for read in 1..=10 {
            stream.next().await.unwrap().result.unwrap();
            sleep(Duration::from_mins(1)).await;
            assert!(meter.begun() < read + width + 1, "{strategy}: {} begun after {read} read", meter.begun());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_run_go_on_without_room_and_others_start_with_it() {
    for strategy in ALL {
        let width = if strategy == Strategy::Sequential { 1 } else { 3 };
        let meter = Meter::default();
        let calls = (0..10).map(|_| call("x", meter.clone().answer(1)));
        let mut stream = FanOut::new(strategy).as_completed(3, calls);
        stream.set_room(8);
        assert_eq!(stream.running(), width);
        stream.set_room(0);
        for _ in 0..width {
            stream.next().await.unwrap().result.unwrap();
        }
        assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err(), "pending, not at its end");
        assert_eq!((stream.running(), meter.begun()), (0, width), "{strategy}");
        stream.set_room(2);
        assert_eq!(stream.running(), width.min(2));
        assert_eq!(stream.by_ref().count().await, 10 - width, "{strategy}");
        assert!(stream.is_terminated());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_a_stream_without_room() {
    for strategy in ALL {
        let meter = Meter::default();
        let calls = [13, 500, 500, 500].map(|ms| call("x", meter.clone().answer(ms)));
        let mut stream = FanOut::new(strategy).as_completed(2, calls);
        stream.set_room(2);
        stream.set_room(0);
        assert!(stream.next().await.unwrap().result.is_err());
        assert!(stream.next().await.is_none(), "{strategy}");
        assert_eq!(stream.report().calls.len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn fail_fast_ends_with_the_failure() {
    for strategy in ALL {
        let meter = Meter::default();
        let calls = [1, 13, 500, 500, 500].map(|ms| call("x", meter.clone().answer(ms)));
        let mut stream = FanOut::new(strategy).as_completed(3, calls);
        assert_eq!(stream.next().await.unwrap().result, Ok(1));
        let failed = stream.next().await.unwrap();
        assert_eq!((failed.index, failed.result), (1, Err(CallError::Failed("unlucky".to_owned()))), "{strategy}");
        assert!(stream.next().await.is_none());
        assert_eq!(meter.begun(), meter.gone.load(Ordering::SeqCst), "what ran is stopped");
        let states: Vec<_> = stream.report().calls.iter().map(|call| call.state).collect();
        let expected = match strategy {
            Strategy::Sequential => {
                [CallState::Ok, CallState::Failed, CallState::Skipped, CallState::Skipped, CallState::Skipped]
            }
            Strategy::Concurrent | Strategy::Spawned => {
                [CallState::Ok, CallState::Failed, CallState::Cancelled, CallState::Cancelled, CallState::Skipped]
            }
        };
        assert_eq!(states, expected, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn best_effort_goes_on_after_a_failure() {
    for strategy in ALL {
        let meter = Meter::default();
        let calls = [1, 13, 20, 13, 5].map(|ms| call("x", meter.clone().answer(ms)));
        let stream = FanOut::new(strategy).on_failure(FailurePolicy::BestEffort).as_completed(2, calls);
        let failed = stream.filter(|done| std::future::ready(done.result.is_err())).count().await;
        assert_eq!(failed, 2, "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_stops_every_call() {
    for strategy in ALL {
        let meter = Meter::default();
        let calls = [1, 60_000, 60_000, 60_000].map(|ms| call("x", meter.clone().answer(ms)));
        let mut stream = FanOut::new(strategy).as_completed(3, calls);
        stream.next().await.unwrap().result.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err());
        drop(stream);
        tokio::task::yield_now().await;
        assert_eq!(meter.begun(), meter.gone.load(Ordering::SeqCst), "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_calls_end_at_once() {
    let meter = Meter::default();
    let mut stream =
        FanOut::new(Strategy::Concurrent).as_completed(4, [0; 0].map(|ms| call("x", meter.clone().answer(ms))));
    assert!(stream.next().await.is_none());
    assert!(stream.report().calls.is_empty());
}
