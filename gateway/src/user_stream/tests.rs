use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fan_out::{Call, FanOut, Strategy, call};
use futures::{FutureExt as _, future::join_all};
use tokio::time::{Instant, advance, sleep};
use tonic::Code;

use super::*;
use crate::{backends::Reply, profile::UserCalls};

/// How long a call takes.
const TIME: Duration = Duration::from_millis(10);

/// Counts the calls that began, and those that ended or were dropped.
#[derive(Clone, Default)]
struct Meter {
    begun: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
}

struct Active(Meter);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.gone.fetch_add(1, Ordering::SeqCst);
    }
}

impl Meter {
    fn call(&self, name: String) -> Call<Reply<User>> {
        let meter = self.clone();
        let reply = async move {
            meter.begun.fetch_add(1, Ordering::SeqCst);
            let _active = Active(meter);
            sleep(TIME).await;
            Ok(Encoded::from_checked(bytes::Bytes::new()))
        };
        call(name, reply.boxed())
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn active(&self) -> usize {
        self.begun() - self.gone.load(Ordering::SeqCst)
    }
}

/// Starts a stream of this many users, four at a time, that is alone.
fn start(strategy: Strategy, users: usize, deadline: Option<Deadline>) -> (Meter, MessageStream) {
    start_in(StreamLimit::new(100), strategy, users, deadline)
}

fn start_in(
    limit: StreamLimit,
    strategy: Strategy,
    users: usize,
    deadline: Option<Deadline>,
) -> (Meter, MessageStream) {
    let meter = Meter::default();
    let ids: Vec<_> = (0..users).map(|id| id.to_string()).collect();
    let (begin, names) = (meter.clone(), ids.clone());
    let calls: UserCalls = Box::new(names.into_iter().map(move |name| begin.call(name)));
    let policy = FailurePolicy::FailFast;
    let messages = UserMessages {
        users: FanOut::new(strategy).on_failure(policy).as_completed(4, calls),
        ids,
        policy,
        max_in_flight: 4,
        work: None,
        limit,
        deadline,
        metrics: FanOutMetrics::new(None),
        saved: SavedTime::default(),
    };
    (meter, messages.start())
}

const ALL: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

#[tokio::test(start_paused = true)]
async fn the_report_is_the_last_message_and_calls_run_at_once() {
    for (strategy, wall) in [(Strategy::Sequential, 200), (Strategy::Concurrent, 50), (Strategy::Spawned, 50)] {
        let begun = Instant::now();
        let (meter, mut messages) = start(strategy, 20, None);
        for _ in 0..20 {
            let message = messages.next().await.unwrap().unwrap();
            assert!(matches!(message.content, Some(Content::User(_))), "{message:?}");
        }
        let Some(Content::Report(report)) = messages.next().await.unwrap().unwrap().content else { panic!() };
        assert_eq!(report.calls.len(), 20);
        assert!(messages.next().await.is_none());
        assert_eq!((begun.elapsed(), meter.active()), (Duration::from_millis(wall), 0), "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_streams_take_no_longer_than_their_calls_in_the_limit() {
    const STREAMS: u32 = 40;
    const USERS: u32 = 20;
    const LIMIT: u32 = 10;
    for strategy in ALL {
        let (limit, begun) = (StreamLimit::new(LIMIT as usize), Instant::now());
        let streams = (0..STREAMS).map(|_| start_in(limit.clone(), strategy, USERS as usize, None).1.count());
        let all = tokio::spawn(join_all(streams.collect::<Vec<_>>()));
        while !all.is_finished() {
            advance(TIME / 10).await;
            let elapsed = begun.elapsed();
            assert!(elapsed <= TIME * STREAMS * USERS / LIMIT * 2, "{strategy}: {elapsed:?}");
        }
        assert_eq!(all.await.unwrap(), [USERS as usize + 1; STREAMS as usize], "{strategy}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_without_a_reader_until_as_many_messages_wait_as_may_run() {
    for strategy in ALL {
        let (meter, mut messages) = start(strategy, 20, None);
        sleep(Duration::from_mins(1)).await;
        assert_eq!((meter.begun(), meter.active()), (4, 0), "{strategy}: none is held");
        for read in 1..=16 {
            messages.next().await.unwrap().unwrap();
            sleep(Duration::from_mins(1)).await;
            assert_eq!((meter.begun(), meter.active()), (4 + read, 0), "{strategy}");
        }
        assert_eq!(messages.count().await, 5, "four users and the report");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_reader_everything_ends_with_the_deadline() {
    let deadline = Deadline::after(Duration::from_secs(1));
    let (_, mut messages) = start(Strategy::Concurrent, 20, Some(deadline));
    sleep(Duration::from_secs(2)).await;
    assert!(messages.calls.is_finished());
    // What was ready then can still be read.
    for _ in 0..4 {
        messages.next().await.unwrap().unwrap();
    }
    assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    assert!(messages.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_cancels_its_calls() {
    for strategy in ALL {
        let (meter, messages) = start(strategy, 20, None);
        sleep(TIME / 2).await;
        assert!(meter.active() > 0);
        drop(messages);
        sleep(TIME / 4).await;
        assert_eq!(meter.active(), 0, "{strategy}");
    }
}

#[tokio::test]
async fn a_stream_whose_task_ends_early_does_not_end_well() {
    let (_, mut messages) = start(Strategy::Concurrent, 20, None);
    messages.calls.abort();
    assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::Internal);
    assert!(messages.next().await.is_none());
}
