use std::{future::Future, pin::pin, task::Context, time::Duration};

use futures::FutureExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::transport::connection::{Driver, Transport};

/// Returns a connection to a peer that accepts so many streams at once, and what keeps both of its ends alive.
async fn connection(max_streams: u32) -> (Connection, Driver) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut builder = h2::server::Builder::new();
        let mut server =
            builder.max_concurrent_streams(max_streams).handshake::<_, bytes::Bytes>(stream).await.unwrap();
        while server.accept().await.is_some() {}
    });
    let minute = Duration::from_mins(1);
    let transport = Transport { connect_timeout: minute, keepalive: minute, keepalive_timeout: minute, tls: None };
    Connection::open(address, transport).await.unwrap()
}

/// Polls a future once, with a waker that counts for nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn without_a_connection_there_is_nothing_to_wait_for() {
    let pool = Arc::new(Pool::new(1));
    assert!(matches!(pool.try_acquire(), Acquire::Closed));
    assert!(pool.acquire().await.is_none());
}

#[tokio::test]
async fn streams_go_to_the_calls_in_the_order_in_which_they_came() {
    let pool = Arc::new(Pool::new(1));
    pool.add(connection(1).await.0);
    let held = pool.acquire().await.unwrap();
    let (mut first, mut second) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(poll_once(&mut first).is_none() && poll_once(&mut second).is_none());
    drop(held);
    assert!(matches!(pool.try_acquire(), Acquire::Full), "nobody goes before those who wait");
    assert!(poll_once(&mut second).is_none());
    let held = poll_once(&mut first).expect("the first is granted it").unwrap();
    drop(held);
    assert!(poll_once(&mut second).expect("then the second").is_some());
}

/// Two releases between two polls used to be one wake-up: the second waiter then waited beside a free stream.
#[tokio::test]
async fn two_streams_that_are_released_at_once_wake_two_calls() {
    let pool = Arc::new(Pool::new(1));
    pool.add(connection(2).await.0);
    let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    let mut waiting = [Box::pin(pool.acquire()), Box::pin(pool.acquire())];
    assert!(waiting.iter_mut().all(|call| poll_once(call).is_none()));
    drop(held);
    for call in waiting {
        assert!(call.now_or_never().expect("it is granted").is_some());
    }
}

#[tokio::test]
async fn a_stream_that_was_granted_to_a_call_that_has_gone_goes_to_the_next() {
    let pool = Arc::new(Pool::new(1));
    pool.add(connection(1).await.0);
    let held = pool.acquire().await.unwrap();
    let (mut gone, mut next) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(poll_once(&mut gone).is_none() && poll_once(&mut next).is_none());
    drop(held);
    // It was granted, and is dropped before it was polled again.
    drop(gone);
    assert!(poll_once(&mut next).expect("it is granted").is_some());
}

#[tokio::test]
async fn what_a_runtime_wanted_of_a_lost_endpoint_is_forgotten() {
    let pool = Arc::new(Pool::new(2));
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let call_from_other = || {
        let _entered = other.enter();
        assert!(matches!(pool.try_acquire(), Acquire::Permit(_)));
    };
    for _ in 0..2 {
        pool.add(connection(1_000).await.0);
        assert!(pool.growth().is_none(), "nobody wants one yet");
        // Nothing takes what it wants before the endpoint is lost, the first time.
        (0..8).for_each(|_| call_from_other());
        pool.clear();
    }
    pool.add(connection(1_000).await.0);
    (0..8).for_each(|_| call_from_other());
    assert_eq!(pool.growth().map(|runtime| runtime.id()), Some(other.handle().id()));
    other.shutdown_background();
}

#[tokio::test]
async fn a_further_connection_serves_those_who_wait_and_the_loss_of_the_last_ends_their_wait() {
    let pool = Arc::new(Pool::new(2));
    let first = pool.add(connection(1).await.0);
    let held = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(pool.growth().is_none(), "nobody waits yet");
    assert!(poll_once(&mut waiting).is_none());
    pool.wanted().await;
    assert!(pool.growth().is_some());
    pool.add(connection(1).await.0);
    let second = poll_once(&mut waiting).expect("it is granted a stream on the second").unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(poll_once(&mut waiting).is_none() && pool.growth().is_none(), "two are the most");
    pool.remove(first);
    assert!(poll_once(&mut waiting).is_none());
    pool.clear();
    assert!(poll_once(&mut waiting).expect("there is nothing left to wait for").is_none());
    drop((held, second));
    assert_eq!(pool.len(), 0);
}

#[tokio::test]
async fn calls_that_gave_up_do_not_stay_in_the_queue() {
    let pool = Arc::new(Pool::new(1));
    pool.add(connection(1).await.0);
    let _held = pool.acquire().await.unwrap();
    // One that waits in front, so that those behind it are not seen to be gone.
    let mut waiting = pin!(pool.acquire());
    assert!(poll_once(&mut waiting).is_none());
    for _ in 0..10_000 {
        let mut gone = Box::pin(pool.acquire());
        assert!(poll_once(&mut gone).is_none());
    }
    assert!(pool.state.lock().waiters.len() <= 2 * MIN_SWEEP);
}

#[tokio::test]
async fn what_no_call_uses_is_removed_but_not_the_first_connection() {
    let pool = Arc::new(Pool::new(3));
    for _ in 0..3 {
        pool.add(connection(1).await.0);
    }
    let mut held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    pool.remove_unused();
    pool.remove_unused();
    assert_eq!(pool.len(), 3, "they carry calls");
    held.sort_by_key(|permit| permit.number);
    let [first, second, third] = held;
    drop((first, third));
    pool.remove_unused();
    assert_eq!(pool.len(), 2, "the third was not used again");
    assert!(pool.acquire().await.is_some_and(|permit| permit.number == 0));
    drop(second);
    pool.remove_unused();
    pool.remove_unused();
    assert_eq!(pool.len(), 1);
    assert!(pool.acquire().await.is_some());
}

/// A runtime on a thread of its own, as that of a worker of a server. It ends with the sender.
fn another_runtime() -> (tokio::runtime::Handle, tokio::sync::oneshot::Sender<()>) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(stopped));
    (handle, stop)
}

/// Takes so many streams in this runtime, one after another. Returns the numbers of their connections.
async fn acquire_in(runtime: &Handle, pool: &Arc<Pool>, calls: usize) -> Vec<u64> {
    let pool = Arc::clone(pool);
    let take = async move { (0..calls).map(|_| granted(pool.try_acquire()).number).collect() };
    runtime.spawn(take).await.unwrap()
}

#[track_caller]
fn granted(acquired: Acquire) -> StreamPermit {
    match acquired {
        Acquire::Permit(permit) => permit,
        other => panic!("a stream is free: {other:?}"),
    }
}

#[tokio::test]
async fn a_runtime_that_makes_many_calls_gets_a_connection_of_its_own() {
    let pool = Arc::new(Pool::new(2));
    pool.add(connection(100).await.0);
    let (other, _stop) = another_runtime();
    assert_eq!(acquire_in(&other, &pool, 1).await, [0], "it uses what there is");
    assert!(pool.growth().is_none(), "one call is not worth a connection");
    acquire_in(&other, &pool, 20).await;
    pool.wanted().await;
    let wanted = pool.growth().expect("a connection is wanted");
    assert_eq!(wanted.id(), other.id());
    let (opened, _driver) = wanted.spawn(connection(1)).await.unwrap();
    let own = pool.add(opened);
    assert_eq!(acquire_in(&other, &pool, 3).await, [own; 3]);
    assert_eq!(acquire_in(&Handle::current(), &pool, 3).await, [0; 3]);
    assert!(pool.growth().is_none());
    // One that is full does not keep calls from the streams of others.
    let held = other.spawn({
        let pool = Arc::clone(&pool);
        async move { granted(pool.try_acquire()) }
    });
    let held = held.await.unwrap();
    assert_eq!((held.number, acquire_in(&other, &pool, 1).await), (own, vec![0]));
    drop(held);
    let (third, _stop) = another_runtime();
    acquire_in(&third, &pool, 50).await;
    assert!(pool.growth().is_none(), "two are the most");
}

#[tokio::test]
async fn a_connection_that_is_closed_soon_is_not_opened_again_at_once() {
    let pool = Arc::new(Pool::new(9));
    pool.add(connection(100).await.0);
    let (other, _stop) = another_runtime();
    acquire_in(&other, &pool, 20).await;
    let wanted = pool.growth().unwrap();
    let own = pool.add(wanted.spawn(connection(1)).await.unwrap().0);
    pool.remove(own);
    acquire_in(&other, &pool, 100).await;
    assert!(pool.growth().is_none());
    assert_eq!(acquire_in(&other, &pool, 1).await, [0], "calls have another one meanwhile");
}
