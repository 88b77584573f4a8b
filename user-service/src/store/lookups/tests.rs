use std::{cell::Cell, io::ErrorKind, pin::pin};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all},
    poll,
};
use tokio::{
    sync::{Semaphore, oneshot},
    task::yield_now,
};

use super::*;

/// A database with these connections, in which everybody is a user whose id begins with `u`.
struct Fake {
    connections: Semaphore,
    queries: Mutex<Vec<Vec<String>>>,
    /// The next query does not end before this does.
    held: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Fake {
    fn with(connections: usize) -> Arc<Self> {
        let connections = Semaphore::new(connections);
        Arc::new(Self { connections, queries: Mutex::default(), held: Mutex::default() })
    }

    /// Holds the next query up, until the sender is used or dropped.
    fn hold(&self) -> oneshot::Sender<()> {
        let (sender, receiver) = oneshot::channel();
        *self.held.lock() = Some(receiver);
        sender
    }

    fn query(self: &Arc<Self>) -> impl Fn(Arc<Batch>) -> BoxFuture<'static, sqlx::Result<Vec<User>>> {
        let this = Arc::clone(self);
        move |batch| {
            let this = Arc::clone(&this);
            async move {
                let _connection = this.connections.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
                let ids = batch.take();
                this.queries.lock().push(ids.clone());
                let held = this.held.lock().take();
                if let Some(held) = held {
                    let _ = held.await;
                }
                Ok(users(ids))
            }
            .boxed()
        }
    }

    fn queries(&self) -> Vec<Vec<String>> {
        self.queries.lock().clone()
    }
}

fn users(ids: Vec<String>) -> Vec<User> {
    let user =
        |id| User { id, display_name: String::new(), email: String::new(), country_code: "GB".into(), create_time: 0 };
    ids.into_iter().filter(|id| id.starts_with('u')).map(user).collect()
}

fn found(lookup: Result<Lookup, Arc<sqlx::Error>>) -> (Option<String>, usize) {
    let Lookup { user, batch_size } = lookup.unwrap();
    (user.map(|user| user.id), batch_size)
}

/// Lets all tasks do what they can.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

#[tokio::test]
async fn one_alone_has_its_own_query() {
    let (lookups, fake) = (Lookups::default(), Fake::with(1));
    assert_eq!(found(lookups.get("u1", fake.query()).await), (Some("u1".into()), 1));
    assert_eq!(found(lookups.get("x", fake.query()).await), (None, 1));
    assert_eq!(fake.queries(), [["u1"], ["x"]]);
}

#[tokio::test]
async fn those_of_one_turn_share_a_query_although_connections_are_free() {
    let (lookups, fake) = (Lookups::default(), Fake::with(4));
    let all = join_all(["u2", "x", "u1", "u2"].map(|id| lookups.get(id, fake.query()))).await;
    let all: Vec<_> = all.into_iter().map(found).collect();
    assert_eq!(all, [Some("u2"), None, Some("u1"), Some("u2")].map(|id| (id.map(str::to_owned), 4)));
    assert_eq!(fake.queries(), [["u1", "u2", "x"]], "each id once");
}

#[tokio::test]
async fn those_that_wait_for_a_connection_share_the_next_query() {
    let (lookups, fake) = (Lookups::default(), Fake::with(1));
    let release = fake.hold();
    let mut first = pin!(lookups.get("u1", fake.query()));
    assert!(poll!(&mut first).is_pending());
    settle().await;
    let mut second = pin!(lookups.get("u1", fake.query()));
    assert!(poll!(&mut second).is_pending());
    settle().await;
    let mut third = pin!(lookups.get("u3", fake.query()));
    assert!(poll!(&mut third).is_pending());
    assert_eq!(fake.queries(), [["u1"]]);
    drop(release);
    assert_eq!(found(first.await).1, 1);
    assert_eq!((found(second.await).1, found(third.await).1), (2, 2));
    // What a query reads that has begun may be older than the second look-up.
    assert_eq!(fake.queries(), [vec!["u1"], vec!["u1", "u3"]]);
}

#[tokio::test]
async fn a_query_is_for_a_bounded_number() {
    let (lookups, fake) = (Lookups::default(), Fake::with(1));
    let ids: Vec<_> = (0..=2 * MAX_BATCH).map(|number| format!("u{number}")).collect();
    let all = join_all(ids.iter().map(|id| lookups.get(id, fake.query()))).await;
    for (id, lookup) in ids.into_iter().zip(all) {
        assert_eq!(found(lookup).0, Some(id));
    }
    assert_eq!(fake.queries().iter().map(Vec::len).collect::<Vec<_>>(), [MAX_BATCH, MAX_BATCH, 1]);
}

#[tokio::test]
async fn whoever_is_cancelled_takes_nothing_from_the_others() {
    let (lookups, fake) = (Lookups::default(), Fake::with(1));
    let _release = fake.hold();
    let mut all = ["u1", "u2"].map(|id| Box::pin(lookups.get(id, fake.query()))).map(Some);
    for lookup in all.iter_mut().flatten() {
        assert!(poll!(lookup).is_pending());
    }
    settle().await;
    all[0] = None;
    settle().await;
    assert_eq!(fake.connections.available_permits(), 0, "the query goes on");
    all[1] = None;
    settle().await;
    assert_eq!(fake.connections.available_permits(), 1, "the query has ended with the last of them");
}

#[tokio::test]
async fn a_batch_whose_look_ups_are_gone_asks_for_nothing() {
    let (lookups, fake) = (Lookups::default(), Fake::with(0));
    for id in ["u1", "u2"] {
        let mut lookup = Box::pin(lookups.get(id, fake.query()));
        assert!(poll!(&mut lookup).is_pending());
        drop(lookup);
        settle().await;
    }
    fake.connections.add_permits(1);
    assert_eq!(found(lookups.get("u3", fake.query()).await).1, 1);
    assert_eq!(fake.queries(), [["u3"]]);
}

#[tokio::test]
async fn whoever_joins_a_batch_that_was_left_keeps_it_going() {
    let (lookups, fake) = (Lookups::default(), Fake::with(0));
    let mut first = Box::pin(lookups.get("u1", fake.query()));
    assert!(poll!(&mut first).is_pending());
    settle().await;
    drop(first);
    // Before the task of the batch has its turn.
    let mut second = Box::pin(lookups.get("u2", fake.query()));
    assert!(poll!(&mut second).is_pending());
    settle().await;
    fake.connections.add_permits(1);
    assert_eq!(found(second.await), (Some("u2".into()), 2));
    assert_eq!(fake.queries(), [["u1", "u2"]]);
}

#[tokio::test]
async fn a_connection_that_is_lost_is_that_of_all() {
    let (lookups, queries) = (Lookups::default(), Cell::new(0));
    let fails = |_| {
        queries.set(queries.get() + 1);
        async { Err(sqlx::Error::Io(ErrorKind::BrokenPipe.into())) }
    };
    for lookup in join_all(["u1", "u2"].map(|id| lookups.get(id, fails))).await {
        assert!(matches!(*lookup.unwrap_err(), sqlx::Error::Io(_)));
    }
    assert_eq!(queries.get(), 1);
    // And of no one else.
    assert_eq!(found(lookups.get("u1", Fake::with(1).query()).await).1, 1);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_fails_nobody_else() {
    let lookups = Lookups::default();
    let query = |batch: Arc<Batch>| async move {
        let ids = batch.take();
        if ids.iter().any(|id| id == "damaged") { Err(sqlx::Error::RowNotFound) } else { Ok(users(ids)) }
    };
    let [first, damaged, last] =
        join_all(["u1", "damaged", "u3"].map(|id| lookups.get(id, query))).await.try_into().unwrap();
    assert_eq!((found(first), found(last)), ((Some("u1".into()), 1), (Some("u3".into()), 1)));
    assert!(matches!(*damaged.unwrap_err(), sqlx::Error::RowNotFound));
}

#[tokio::test]
async fn whoever_comes_late_waits_for_a_connection_as_long_as_others() {
    let (lookups, queries) = (Lookups::default(), Cell::new(0));
    // The first query gets no connection in time.
    let query = |batch: Arc<Batch>| {
        queries.set(queries.get() + 1);
        let is_late = queries.get() == 1;
        async move { if is_late { Err(sqlx::Error::PoolTimedOut) } else { Ok(users(batch.take())) } }
    };
    let [first, late] = join_all(["u1", "u2"].map(|id| lookups.get(id, query))).await.try_into().unwrap();
    assert!(matches!(*first.unwrap_err(), sqlx::Error::PoolTimedOut));
    assert_eq!((found(late), queries.get()), ((Some("u2".into()), 1), 2));
}

#[test]
fn no_query_waits_for_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (lookups, fake) = (Lookups::default(), Fake::with(1));
    let (busy, own) = (runtime(), runtime());
    let mut first = Box::pin(lookups.get("u1", fake.query()));
    // This runtime has no turn any more.
    busy.block_on(async { assert!(poll!(&mut first).is_pending()) });
    assert_eq!(found(own.block_on(lookups.get("u2", fake.query()))), (Some("u2".into()), 1));
    assert_eq!(fake.queries(), [["u2"]]);
}

#[tokio::test]
#[should_panic(expected = "a query does not panic")]
async fn a_query_that_panics_is_the_panic_of_its_look_ups() {
    let panics = |_| async { if true { panic!("on purpose") } else { Ok(Vec::new()) } };
    let _ = Lookups::default().get("u1", panics).await;
}
