//! Users in SQLite or PostgreSQL.
//!
//! Each query is written once: `on!` runs it on whichever database it is, typed for both
//! at compile time. An answer of [`Store::create`] means that the user is on disk: SQLite
//! syncs its log at each commit, and so does PostgreSQL where nobody turned its
//! `synchronous_commit` off.

mod connect;
mod error;
mod span;

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use sqlx::{ColumnIndex, Decode, FromRow, Pool, Postgres, Row, Sqlite, Type, query, query_as, query_scalar};

pub use self::error::StoreError;
use self::span::{Place, Statement};
use crate::{
    database::Database,
    user::{NewUser, Page, PageSize, User},
};

const GET: Statement =
    Statement::new("SELECT", "SELECT id, display_name, email, country_code, create_time FROM users WHERE id = $1");
/// No id is empty: every user comes after "".
const LIST: Statement = Statement::new(
    "SELECT",
    "SELECT id, display_name, email, country_code, create_time FROM users WHERE id > $1 ORDER BY id LIMIT $2",
);
const CREATE: Statement = Statement::new(
    "INSERT",
    "INSERT INTO users (id, display_name, email, country_code, create_time) VALUES ($1, $2, $3, $4, $5)",
);
/// One statement, so one transaction: all of them or none. Where another replica is at
/// it too, its rows win and this one adds nothing.
const SEED: Statement = Statement::new("INSERT", include_str!("seed.sql"));
const PING: Statement = Statement::new("SELECT", "SELECT EXISTS (SELECT 1 FROM users)");

/// The users. Cloning it costs two reference counts.
#[derive(Clone)]
pub struct Store {
    pools: Arc<Pools>,
    place: Arc<Place>,
}

enum Pools {
    Sqlite(ReadWrite<Sqlite>),
    Postgres(ReadWrite<Postgres>),
}

/// Where to read and where to write.
struct ReadWrite<DB: sqlx::Database> {
    readers: Pool<DB>,
    writer: Pool<DB>,
}

/// Runs a query in its span on the pool for reading or writing.
macro_rules! on {
    ($store:ident.$role:ident, $statement:expr, |$pool:ident| $query:expr) => {
        $store
            .place
            .traced(&$statement, async {
                match &*$store.pools {
                    Pools::Sqlite(ReadWrite { $role: $pool, .. }) => Ok($query),
                    Pools::Postgres(ReadWrite { $role: $pool, .. }) => Ok($query),
                }
            })
            .await
    };
}

// === impl Store ===

impl Store {
    /// Connects and brings the schema up to date.
    ///
    /// A file of SQLite that is missing is made, and so is its directory. Nothing is
    /// waited for: a database that is not there yet is an error that
    /// [`is_transient`](StoreError::is_transient).
    ///
    /// # Errors
    ///
    /// Every variant of [`StoreError`] but [`Exists`](StoreError::Exists).
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let pools = connect::open(database).await.map_err(|error| error.at(database))?;
        Ok(Self { pools: Arc::new(pools), place: Arc::new(Place::of(database)) })
    }

    /// The user with this id, where there is one.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn get(&self, id: &str) -> Result<Option<User>, StoreError> {
        on!(self.readers, GET, |pool| query_as(GET.text).bind(id).fetch_optional(pool).await?)
            .map_err(|error| self.fail(error))
    }

    /// A page of users, in the bytewise order of their ids, after an id.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn list(&self, size: PageSize, after: Option<&str>) -> Result<Page, StoreError> {
        // One more than asked for tells whether there is another page.
        let limit = i64::from(size.0) + 1;
        let after = after.unwrap_or_default();
        let mut users: Vec<User> =
            on!(self.readers, LIST, |pool| query_as(LIST.text).bind(after).bind(limit).fetch_all(pool).await?)
                .map_err(|error| self.fail(error))?;
        let more = users.len() > size.get();
        users.truncate(size.get());
        Ok(Page { users, more })
    }

    /// Stores a new user. Once this has returned, the user outlives the process and the
    /// machine's power. Dropped before that, the user may be stored or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] where the id is taken; others where the database does not
    /// answer.
    pub async fn create(&self, user: NewUser) -> Result<User, StoreError> {
        let user = user.at(now());
        let created = on!(self.writer, CREATE, |pool| {
            let User { id, display_name, email, country_code, create_time } = &user;
            let query = query(CREATE.text).bind(id).bind(display_name).bind(email).bind(country_code);
            query.bind(create_time).execute(pool).await?.rows_affected()
        });
        match created {
            Ok(_) => Ok(user),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(StoreError::Exists { id: user.id }),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Fills an empty table with a dozen pioneers of computing, and answers how many were
    /// added: all or none. Two replicas that start at once add them once.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn seed(&self) -> Result<u64, StoreError> {
        on!(self.writer, SEED, |pool| query(SEED.text).bind(now()).execute(pool).await?.rows_affected())
            .map_err(|error| self.fail(error))
    }

    /// Asks whether users can be read.
    ///
    /// # Errors
    ///
    /// Where they cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let _: bool = on!(self.readers, PING, |pool| query_scalar(PING.text).fetch_one(pool).await?)
            .map_err(|error| self.fail(error))?;
        Ok(())
    }

    /// Closes all connections, after the queries that are at work.
    pub async fn close(&self) {
        match &*self.pools {
            Pools::Sqlite(pools) => pools.close().await,
            Pools::Postgres(pools) => pools.close().await,
        }
    }

    fn fail(&self, error: sqlx::Error) -> StoreError {
        StoreError::from_sqlx(error, &self.place.database)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.place.database)
    }
}

// === impl ReadWrite ===

impl<DB: sqlx::Database> ReadWrite<DB> {
    async fn close(&self) {
        // The writer last: SQLite's last connection empties the log into the file.
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

/// Microseconds since the epoch by the machine's clock; 0 where it stands before that.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
