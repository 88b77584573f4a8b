//! Look-ups by id that wait for a connection at the same time become one query.
//!
//! A query costs two changes of threads in SQLite and a round trip in PostgreSQL, whether it asks for one user or for many.
//! One look-up alone has its own query, at once. A look-up never gets what was read before it began: it joins only a query
//! whose connection is still to come.

use std::{
    collections::HashMap,
    future::Future,
    mem,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::{select, sync::watch};

use crate::user::User;

/// How many look-ups share a query at most.
const MAX_BATCH: usize = 64;

/// The look-ups that are on their way.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    /// The last batch. It may take no more, or have ended.
    last: Mutex<Weak<Batch>>,
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

/// What a query has found, or why it has not.
type Answer = Result<Arc<Found>, Arc<sqlx::Error>>;

#[derive(Debug)]
struct Found {
    users: HashMap<String, User>,
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
    /// Looks up a user. If the last batch takes no more ids, another is begun with `query`, in a task of its own: it should
    /// [`take`](Batch::take) the ids when it has a connection, and return the users who have them.
    ///
    /// If this future is dropped, the others of its batch still get their answers. The query is dropped with the last of
    /// them.
    ///
    /// # Errors
    ///
    /// Returns the error of the query, which all of its look-ups get.
    pub(super) async fn get<F>(&self, id: &str, query: impl Fn(Arc<Batch>) -> F) -> Result<Lookup, Arc<sqlx::Error>>
    where
        F: Future<Output = sqlx::Result<Vec<User>>> + Send + 'static,
    {
        // The thread of the caller that has begun a batch may end before it. Then this one begins the next.
        for _ in 0..2 {
            let mut answer = self.join(id).unwrap_or_else(|| self.begin(id, &query));
            if let Ok(answer) = answer.wait_for(Option::is_some).await {
                let found = answer.clone().expect("it was waited for")?;
                return Ok(Lookup { user: found.users.get(id).cloned(), batch_size: found.lookups });
            }
        }
        Err(sqlx::Error::WorkerCrashed.into())
    }

    /// Joins the last batch, if it takes another id.
    fn join(&self, id: &str) -> Option<watch::Receiver<Option<Answer>>> {
        let batch = self.last.lock().upgrade()?;
        let mut ids = batch.ids.lock();
        match &mut *ids {
            Ids::Open(ids) if ids.len() < MAX_BATCH => {
                ids.push(id.to_owned());
                // With the lock held: a batch without look-ups ends.
                Some(batch.answer.subscribe())
            }
            Ids::Open(_) | Ids::Taken { .. } => None,
        }
    }

    fn begin<F>(&self, id: &str, query: impl Fn(Arc<Batch>) -> F) -> watch::Receiver<Option<Answer>>
    where
        F: Future<Output = sqlx::Result<Vec<User>>> + Send + 'static,
    {
        let (answer, receiver) = watch::channel(None);
        let batch = Arc::new(Batch { ids: Mutex::new(Ids::Open(vec![id.to_owned()])), answer });
        *self.last.lock() = Arc::downgrade(&batch);
        let query = query(Arc::clone(&batch));
        tokio::spawn(async move { batch.run(query).await });
        receiver
    }
}

// === impl Batch ===

impl Batch {
    /// Returns the ids that are asked for, without duplicates. From now on look-ups are for another batch.
    pub(super) fn take(&self) -> Vec<String> {
        let mut state = self.ids.lock();
        let Ids::Open(ids) = &mut *state else { return Vec::new() };
        let mut ids = mem::take(ids);
        *state = Ids::Taken { lookups: ids.len() };
        drop(state);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    async fn run(&self, query: impl Future<Output = sqlx::Result<Vec<User>>>) {
        select! {
            biased;
            result = query => self.answer(result),
            () = self.abandoned() => {}
        }
    }

    fn answer(&self, result: sqlx::Result<Vec<User>>) {
        // Without a connection nothing was taken.
        self.take();
        let Ids::Taken { lookups } = *self.ids.lock() else { unreachable!("they were taken") };
        let by_id = |users: Vec<User>| users.into_iter().map(|user| (user.id.clone(), user)).collect();
        let answer = result.map(|users| Arc::new(Found { users: by_id(users), lookups })).map_err(Arc::new);
        self.answer.send_replace(Some(answer));
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
