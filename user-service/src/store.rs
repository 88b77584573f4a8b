//! Users in SQLite or PostgreSQL.
//!
//! Each query is written once; `with_pool!` runs it on either database, type-checked for both at compile time. When
//! [`Store::create`] has returned, the user is on disk: SQLite syncs its log at each commit, and so does PostgreSQL unless
//! its `synchronous_commit` is turned off. [`StoreReadiness`] asks whether the database is still there.
//!
//! # Layout
//!
//! * `connect`: opens a database.
//! * `files`: whether SQLite's files are still those that are open.
//! * `lookups`: look-ups that share a query.
//! * `readiness`: [`StoreReadiness`].
//! * `span`: a span for each query.
//! * `tls`: TLS to PostgreSQL: its files, and what a failed handshake means.
//! * `error`: [`StoreError`].

mod connect;
mod error;
mod files;
mod lookups;
mod readiness;
mod span;
mod tls;

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::RwLock;
use sqlx::{
    ColumnIndex, Decode, FromRow, Pool, Postgres, QueryBuilder, Row, Sqlite, Type, query, query_as, query_scalar,
};

use self::{
    error::OpenError,
    files::DatabaseFiles,
    lookups::{Batch, Lookup, Lookups},
    span::{Statement, record_shared},
};
pub use self::{error::StoreError, readiness::StoreReadiness};
use crate::{
    database::Database,
    user::{NewUser, Page, PageSize, User},
};

const GET: Statement =
    Statement::new("SELECT", "SELECT id, display_name, email, country_code, create_time FROM users WHERE id = $1");
/// [`GET`] for several ids, which follow, and a parenthesis.
const GET_MANY: &str = "SELECT id, display_name, email, country_code, create_time FROM users WHERE id IN (";
/// Every user is after "", because no id is empty.
const LIST: Statement = Statement::new(
    "SELECT",
    "SELECT id, display_name, email, country_code, create_time FROM users WHERE id > $1 ORDER BY id LIMIT $2",
);
const CREATE: Statement = Statement::new(
    "INSERT",
    "INSERT INTO users (id, display_name, email, country_code, create_time) VALUES ($1, $2, $3, $4, $5)",
);
/// One statement, and therefore one transaction. If another replica does the same at once, only one of them adds rows.
const SEED: Statement = Statement::new("INSERT", include_str!("seed.sql"));
const PING: Statement = Statement::new("SELECT", "SELECT EXISTS (SELECT 1 FROM users)");

/// The users. Cloning it costs two reference counts.
#[derive(Clone)]
pub struct Store {
    /// Changes when the database is opened again.
    pools: Arc<RwLock<Arc<Pools>>>,
    database: Arc<Database>,
}

enum Pools {
    Sqlite(ReadWrite<Sqlite>, DatabaseFiles),
    Postgres(ReadWrite<Postgres>),
}

/// Connections to read with, and connections to write with.
struct ReadWrite<DB: sqlx::Database> {
    readers: Pool<DB>,
    writer: Pool<DB>,
    /// Look-ups by id, each batch of which waits for a reader.
    lookups: Lookups,
}

/// Does the same with what either database has in this role.
macro_rules! on_either {
    ($pools:ident.$role:ident, |$it:ident| $query:expr) => {
        match &*$pools {
            Pools::Sqlite(ReadWrite { $role: $it, .. }, _) => $query,
            Pools::Postgres(ReadWrite { $role: $it, .. }) => $query,
        }
    };
}

/// Runs a query in its span, with the pool for reading or the pool for writing.
macro_rules! with_pool {
    ($store:ident, $pools:ident.$role:ident, $statement:expr, |$pool:ident| $query:expr) => {
        $store
            .database
            .traced(&$statement, async { Ok::<_, sqlx::Error>(on_either!($pools.$role, |$pool| $query)) })
            .await
    };
}

// === impl Store ===

impl Store {
    /// Connects, and brings the schema up to date.
    ///
    /// Creates the file of SQLite and its directory if they are missing. Does not wait for a database: if it cannot be
    /// reached yet, the error [`is_transient`](StoreError::is_transient).
    ///
    /// # Errors
    ///
    /// Returns an error if the database cannot be opened: any variant of [`StoreError`] except
    /// [`Exists`](StoreError::Exists).
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let pools = connect::open(database).await.map_err(|error| error.at(database))?;
        Ok(Self { pools: Arc::new(RwLock::new(Arc::new(pools))), database: Arc::new(database.clone()) })
    }

    /// Returns the user with this id; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if the database does not answer.
    pub async fn get(&self, id: &str) -> Result<Option<User>, StoreError> {
        let pools = self.pools();
        let query = |batch| Arc::clone(&pools).users_of(batch);
        let user = self.database.traced(&GET, async {
            let found = on_either!(pools.lookups, |lookups| lookups.get(id, query).await);
            found.map(|Lookup { user, batch_size }| {
                record_shared(batch_size);
                user
            })
        });
        self.or_file_error(&pools, user.await).await
    }

    /// Returns the page of users after an id, in the bytewise order of their ids.
    ///
    /// # Errors
    ///
    /// Returns an error if the database does not answer.
    pub async fn list(&self, size: PageSize, after: Option<&str>) -> Result<Page, StoreError> {
        // One more user than requested shows whether there is another page.
        let limit = i64::from(size.0) + 1;
        let after = after.unwrap_or_default();
        let pools = self.pools();
        let users = with_pool!(self, pools.readers, LIST, |pool| {
            query_as(LIST.text).bind(after).bind(limit).fetch_all(pool).await?
        });
        let mut users: Vec<User> = self.or_file_error(&pools, users).await?;
        let more = users.len() > size.get();
        users.truncate(size.get());
        Ok(Page { users, more })
    }

    /// Stores a new user. When this has returned, the user survives a crash of the process or the machine, and is in the
    /// database that a process finds that starts now. After an error, or if the future is dropped before that, the user
    /// may be stored or not.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Exists`] if a user has the id already, and another error if the database does not answer, is
    /// read-only, or is not at its place any more.
    pub async fn create(&self, user: NewUser) -> Result<User, StoreError> {
        let user = user.at(now());
        let pools = self.pools();
        self.check_files(&pools).await?;
        let created = with_pool!(self, pools.writer, CREATE, |pool| {
            let User { id, display_name, email, country_code, create_time } = &user;
            let query = query(CREATE.text).bind(id).bind(display_name).bind(email).bind(country_code);
            query.bind(create_time).execute(pool).await?.rows_affected()
        });
        // The file that was written may have been removed meanwhile.
        self.check_files(&pools).await?;
        match created {
            Ok(_) => Ok(user),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(StoreError::Exists { id: user.id }),
            Err(error) => Err(StoreError::from_sqlx(error, &self.database)),
        }
    }

    /// Fills an empty table with a dozen pioneers of computing, and returns how many were added: all or none. Two
    /// replicas that start at once add them only once.
    ///
    /// # Errors
    ///
    /// Returns an error if the database does not answer.
    pub async fn seed(&self) -> Result<u64, StoreError> {
        let pools = self.pools();
        let added = with_pool!(self, pools.writer, SEED, |pool| {
            query(SEED.text).bind(now()).execute(pool).await?.rows_affected()
        });
        self.or_file_error(&pools, added).await
    }

    /// Checks that users can be read.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let pools = self.pools();
        let answer =
            with_pool!(self, pools.readers, PING, |pool| query_scalar::<_, bool>(PING.text).fetch_one(pool).await?);
        self.or_file_error(&pools, answer).await?;
        Ok(())
    }

    /// Closes all connections after the queries in flight.
    pub async fn close(&self) {
        self.pools().close().await;
    }

    fn pools(&self) -> Arc<Pools> {
        Arc::clone(&self.pools.read())
    }

    /// Lets all clones use these pools from now on.
    fn replace(&self, pools: Pools) {
        *self.pools.write() = Arc::new(pools);
    }

    async fn check_files(&self, pools: &Pools) -> Result<(), StoreError> {
        pools.check_files().await.map_err(|error| error.at(&self.database))
    }

    /// Converts the error of a query. If SQLite's file is gone, that is the cause, whatever the symptom.
    async fn or_file_error<T>(&self, pools: &Pools, result: Result<T, impl Into<OpenError>>) -> Result<T, StoreError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                self.check_files(pools).await?;
                Err(StoreError::from_sqlx(error, &self.database))
            }
        }
    }
}

// === impl Pools ===

impl Pools {
    /// Returns the users who have the ids of a batch.
    async fn users_of(self: Arc<Self>, batch: Arc<Batch>) -> sqlx::Result<Vec<User>> {
        on_either!(self.readers, |pool| {
            let mut connection = pool.acquire().await?;
            let ids = batch.take();
            if let [id] = &*ids {
                let user: Option<User> = query_as(GET.text).bind(id).fetch_optional(&mut *connection).await?;
                Ok(user.into_iter().collect())
            } else {
                let mut query = QueryBuilder::new(GET_MANY);
                let mut list = query.separated(", ");
                for id in padded(ids) {
                    list.push_bind(id);
                }
                query.push(")").build_query_as().fetch_all(&mut *connection).await
            }
        })
    }

    /// Returns an error if SQLite's files are not those that are open, or cannot be written.
    async fn check_files(&self) -> Result<(), OpenError> {
        match self {
            Self::Sqlite(_, files) => Ok(files.check().await?),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Closes all connections after the queries in flight.
    async fn close(&self) {
        match self {
            Self::Sqlite(pools, _) => pools.close().await,
            Self::Postgres(pools) => pools.close().await,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.database)
    }
}

// === impl ReadWrite ===

impl<DB: sqlx::Database> ReadWrite<DB> {
    async fn close(&self) {
        // The writer is last, because SQLite's last connection writes the log to the file.
        self.readers.close().await;
        self.writer.close().await;
    }
}

// === impl User ===

impl<'r, R: Row> FromRow<'r, R> for User
where
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            display_name: row.try_get("display_name")?,
            email: row.try_get("email")?,
            country_code: row.try_get("country_code")?,
            create_time: row.try_get("create_time")?,
        })
    }
}

/// Repeats the last id until there are a power of two, so that there are few statements to prepare.
fn padded(mut ids: Vec<String>) -> Vec<String> {
    if let Some(last) = ids.last().cloned() {
        ids.resize(ids.len().next_power_of_two(), last);
    }
    ids
}

/// Returns the microseconds since the Unix epoch by the machine's clock, at least 0.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn padded_ids_are_the_same_in_few_numbers() {
        let mut numbers = BTreeSet::new();
        for number in 0..=lookups::MAX_BATCH {
            let ids: Vec<_> = (0..number).map(|id| id.to_string()).collect();
            let padded = padded(ids.clone());
            assert_eq!(HashSet::<&String>::from_iter(&padded), HashSet::from_iter(&ids));
            numbers.insert(padded.len());
        }
        assert_eq!(Vec::from_iter(numbers), [0, 1, 2, 4, 8, 16, 32, 64]);
    }
}
