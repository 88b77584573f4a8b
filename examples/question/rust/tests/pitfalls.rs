//! What `docs/sequential-or-concurrent.md` says about Rust, each with a test. The clock is paused: waiting takes no time, and
//! times are exact.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{Instrument as _, Span, info_span};

const DELAY: Duration = Duration::from_secs(3);

async fn get_user() -> Result<&'static str, Infallible> {
    sleep(DELAY).await;
    Ok("ada")
}

async fn get_countries() -> Result<usize, Infallible> {
    sleep(DELAY).await;
    Ok(249)
}

/// Fails after a second.
async fn fail() -> Result<(), &'static str> {
    sleep(Duration::from_secs(1)).await;
    Err("no such user")
}

/// Sets the flag after three seconds.
async fn finish(done: Arc<AtomicBool>) {
    sleep(DELAY).await;
    done.store(true, Ordering::Relaxed);
}

async fn seconds(future: impl Future) -> u64 {
    let begun = Instant::now();
    future.await;
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn futures_that_were_only_created_have_not_started() {
    let took = seconds(async {
        let user = get_user();
        let countries = get_countries();
        (user.await, countries.await)
    });
    assert_eq!(took.await, 6);
}

#[tokio::test(start_paused = true)]
async fn spawned_tasks_start_at_once() {
    let took = seconds(async {
        let user = tokio::spawn(get_user());
        let countries = tokio::spawn(get_countries());
        (user.await, countries.await)
    });
    assert_eq!(took.await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_awaited_at_once_gains_nothing() {
    let took = seconds(async {
        let user = tokio::spawn(get_user()).await;
        let countries = tokio::spawn(get_countries()).await;
        (user, countries)
    });
    assert_eq!(took.await, 6);
}

#[tokio::test(start_paused = true)]
async fn try_join_ends_with_the_first_error_and_drops_the_other_call() {
    let done = Arc::new(AtomicBool::new(false));
    let other = async {
        finish(done.clone()).await;
        Ok(())
    };
    let begun = Instant::now();
    let result = tokio::try_join!(fail(), other);
    assert_eq!((result, begun.elapsed().as_secs()), (Err("no such user"), 1));
    sleep(10 * DELAY).await;
    assert!(!done.load(Ordering::Relaxed), "it was dropped, and never ran to its end");
}

#[tokio::test(start_paused = true)]
async fn join_waits_for_all_whatever_fails() {
    assert_eq!(seconds(async { tokio::join!(fail(), get_countries()) }).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_task_goes_on_when_its_handle_is_dropped() {
    let done = Arc::new(AtomicBool::new(false));
    drop(tokio::spawn(finish(done.clone())));
    sleep(2 * DELAY).await;
    assert!(done.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_join_set_aborts_its_tasks_when_it_is_dropped() {
    let done = Arc::new(AtomicBool::new(false));
    let mut calls = JoinSet::new();
    calls.spawn(finish(done.clone()));
    drop(calls);
    sleep(2 * DELAY).await;
    assert!(!done.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn select_drops_the_loser() {
    let done = Arc::new(AtomicBool::new(false));
    tokio::select! {
        _ = fail() => {}
        () = finish(done.clone()) => unreachable!("it takes longer"),
    }
    sleep(2 * DELAY).await;
    assert!(!done.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_end_in_their_own_order() {
    let mut calls: FuturesUnordered<_> = [3, 1, 2]
        .map(|seconds| async move {
            sleep(Duration::from_secs(seconds)).await;
            seconds
        })
        .into_iter()
        .collect();
    let mut ended = Vec::new();
    while let Some(seconds) = calls.next().await {
        ended.push(seconds);
    }
    assert_eq!(ended, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn futures_unordered_waits_for_the_body_of_its_loop() {
    // Each has two waits of a second; the body of the loop waits for 10 s.
    let two_waits = |wait| async move {
        sleep(Duration::from_secs(wait)).await;
        let between = Instant::now();
        sleep(Duration::from_secs(1)).await;
        between
    };
    let begun = Instant::now();
    let mut calls: FuturesUnordered<_> = [1, 3].map(two_waits).into_iter().collect();
    calls.next().await;
    sleep(Duration::from_secs(10)).await;
    let second_went_on = calls.next().await.unwrap() - begun;
    assert_eq!(second_went_on.as_secs(), 12, "its first wait was over after 3 s, and nobody polled it");
}

#[tokio::test]
async fn a_spawned_task_loses_the_current_span() {
    let _recorded = tracing::subscriber::set_default(tracing_subscriber::registry());
    let current = || async { Span::current().id() };
    let handler = async {
        let plain = tokio::spawn(current()).await.unwrap();
        let kept = tokio::spawn(current().in_current_span()).await.unwrap();
        (plain, kept)
    };
    let span = info_span!("handler");
    let id = span.id();
    assert!(id.is_some());
    assert_eq!(handler.instrument(span).await, (None, id));
}

#[tokio::test(start_paused = true)]
async fn ten_calls_of_which_five_may_run_at_once_take_two_rounds() {
    let took = seconds(async {
        let users: Vec<_> = stream::iter(0..10).map(|_| get_user()).buffered(5).collect().await;
        users
    });
    assert_eq!(took.await, 6);
}

#[tokio::test]
async fn calls_that_compute_do_not_overlap_in_one_task() {
    let compute = || async { std::thread::sleep(Duration::from_millis(50)) };
    let begun = std::time::Instant::now();
    tokio::join!(compute(), compute());
    assert!(begun.elapsed() >= Duration::from_millis(100));
}
