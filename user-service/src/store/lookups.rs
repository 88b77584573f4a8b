//! Look-ups by id that wait for a connection at the same time become one query.
//!
//! A query costs a few changes of threads in SQLite and a round trip in PostgreSQL, whether it asks for one user or for many.
//! One look-up alone has its own query, at once. A look-up never gets what was read before it began: it joins only a query
//! whose connection is still to come. Each runtime has queries of its own, so that none waits for another's thread.

use std::{
    collections::HashMap,
    future::Future,
    mem,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{
    runtime::{self, Handle},
    select,
    sync::watch,
};

use crate::user::User;

/// How many look-ups share a query at most.
pub(super) const MAX_BATCH: usize = 64;

/// The look-ups that are on their way.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// The last batch of each runtime. It may take no more, or have ended.
    last: Mutex<HashMap<runtime::Id, Weak<Batch>>>,
}

/// Look-ups that share a query.
#[derive(Debug)]
pub(super) struct Batch {
    ids: Mutex<Ids>,
    answer: watch::Sender<Option<Answer>>,
}

#[derive(Debug)]
enum Ids {
    /// Others may join: the query has no connection yet.
    Open(Vec<String>),
    Taken {
        lookups: usize,
    },
}

/// What a query has found, or why it has not, and for how many look-ups.
#[derive(Debug)]
struct Answer {
    users: Result<HashMap<String, User>, Arc<sqlx::Error>>,
    lookups: usize,
}

/// What was found for one look-up.
#[derive(Debug)]
pub(super) struct Lookup {
    /// `None` if there is no user with the id.
    pub(super) user: Option<User>,
    /// How many look-ups the query was for, this one among them.
    pub(super) batch_size: usize,
}

// === impl Lookups ===

impl Lookups {
    /// Looks up a user. If no batch of this runtime takes more ids, another is begun with `query`, in a task of its own: it
    /// should [`take`](Batch::take) the ids when it has a connection, and return the users who have them.
    ///
    /// If this future is dropped, the others of its batch still get their answers. The query is dropped with the last of
    /// them.
    ///
    /// # Errors
    ///
    /// Returns the error of the query. If that may be because of the others who shared it, there was another for this look-up
    /// alone.
    ///
    /// # Panics
    ///
    /// Panics if the query does.
    pub(super) async fn get<F>(&self, id: &str, query: impl Fn(Arc<Batch>) -> F) -> Result<Lookup, Arc<sqlx::Error>>
    where
        F: Future<Output = sqlx::Result<Vec<User>>> + Send + 'static,
    {
        let runtime = Handle::current().id();
        let joined = self.join(runtime, id);
        let is_first = joined.is_none();
        let answer = joined.unwrap_or_else(|| {
            let (batch, answer) = Batch::begin(id, &query);
            self.last.lock().insert(runtime, batch);
            answer
        });
        match find(answer, id).await {
            (Err(error), lookups) if lookups > 1 && may_be_for_others(&error, is_first) => {
                find(Batch::begin(id, &query).1, id).await.0
            }
            (found, _) => found,
        }
    }

    /// Joins the runtime's last batch, if it takes another id.
    fn join(&self, runtime: runtime::Id, id: &str) -> Option<watch::Receiver<Option<Answer>>> {
        let batch = self.last.lock().get(&runtime)?.upgrade()?;
        let mut ids = batch.ids.lock();
        match &mut *ids {
            Ids::Open(ids) if ids.len() < MAX_BATCH => {
                ids.push(id.to_owned());
                // With the lock that `abandoned` has when it looks for receivers.
                Some(batch.answer.subscribe())
            }
            Ids::Open(_) | Ids::Taken { .. } => None,
        }
    }
}

/// Waits for the answer, and takes this look-up's part of it. Also returns how many look-ups it is for.
async fn find(mut answer: watch::Receiver<Option<Answer>>, id: &str) -> (Result<Lookup, Arc<sqlx::Error>>, usize) {
    // Its task is in this runtime, and ends without an answer only if nobody waits for one.
    let answer = answer.wait_for(Option::is_some).await.expect("a query does not panic");
    let Answer { users, lookups } = answer.as_ref().expect("it was waited for");
    let found = users.as_ref().map(|users| Lookup { user: users.get(id).cloned(), batch_size: *lookups });
    (found.map_err(Arc::clone), *lookups)
}

/// Returns whether a query for this look-up alone may succeed where the one that others shared has failed.
fn may_be_for_others(error: &sqlx::Error, is_first: bool) -> bool {
    match error {
        // The first one has waited for a connection as long as is allowed, and those who came later have not.
        sqlx::Error::PoolTimedOut => !is_first,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => false,
        // Such as a page of the file that is damaged, or a row that cannot be read.
        _ => true,
    }
}

// === impl Batch ===

impl Batch {
    /// Begins a query for this id, which others can join as long as they find it.
    fn begin<F>(id: &str, query: impl Fn(Arc<Batch>) -> F) -> (Weak<Self>, watch::Receiver<Option<Answer>>)
    where
        F: Future<Output = sqlx::Result<Vec<User>>> + Send + 'static,
    {
        let (answer, receiver) = watch::channel(None);
        let batch = Arc::new(Self { ids: Mutex::new(Ids::Open(vec![id.to_owned()])), answer });
        let (weak, query) = (Arc::downgrade(&batch), query(Arc::clone(&batch)));
        tokio::spawn(async move { batch.run(query).await });
        (weak, receiver)
    }

    /// Returns the ids that are asked for, without duplicates. From now on look-ups are for another batch. To be called once.
    pub(super) fn take(&self) -> Vec<String> {
        let mut ids = self.close().0;
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Lets no one join any more. Returns the ids if they were not taken, and how many look-ups there were.
    fn close(&self) -> (Vec<String>, usize) {
        let mut state = self.ids.lock();
        let (ids, lookups) = match &mut *state {
            Ids::Open(ids) => {
                let ids = mem::take(ids);
                let lookups = ids.len();
                (ids, lookups)
            }
            Ids::Taken { lookups } => (Vec::new(), *lookups),
        };
        *state = Ids::Taken { lookups };
        (ids, lookups)
    }

    async fn run(&self, query: impl Future<Output = sqlx::Result<Vec<User>>>) {
        select! {
            biased;
            result = query => {
                let by_id = |users: Vec<User>| users.into_iter().map(|user| (user.id.clone(), user)).collect();
                let (_, lookups) = self.close();
                self.answer.send_replace(Some(Answer { users: result.map(by_id).map_err(Arc::new), lookups }));
            }
            () = self.abandoned() => {}
        }
    }

    /// Waits until nobody waits for the answer, and lets no one join any more.
    async fn abandoned(&self) {
        loop {
            self.answer.closed().await;
            let mut ids = self.ids.lock();
            if self.answer.is_closed() {
                *ids = Ids::Taken { lookups: 0 };
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
