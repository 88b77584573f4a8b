//! Opens a database: connections, and the schema brought up to date.

use std::{fs, io, path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Pools, ReadWrite, error::OpenError};
use crate::database::{Database, Kind};

/// The longest a request waits for a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// The longest that connecting to PostgreSQL may take at start.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long SQLite waits where another process writes.
const BUSY_LIMIT: Duration = Duration::from_secs(2);
/// Each is a thread; a look-up by key takes microseconds.
const SQLITE_READERS: u32 = 4;
/// A tenth of what a server allows by default, with room for several replicas.
const POSTGRES_CONNECTIONS: u32 = 10;

pub(super) async fn open(database: &Database) -> Result<Pools, OpenError> {
    match &database.0 {
        Kind::Sqlite(path) => sqlite(path).await,
        Kind::Postgres(options) => postgres(options).await,
    }
}

/// SQLite knows one writer at a time. One connection for all writes makes them wait in a
/// fair queue instead of for one another's locks; in WAL mode readers wait for nobody.
async fn sqlite(path: &Path) -> Result<Pools, OpenError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(OpenError::unusable)?;
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_LIMIT).disable_statement_logging();
    // A file does not fall off the network: connections live as long as the process.
    let pool = |connections| {
        let options = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_LIMIT);
        options.idle_timeout(None).max_lifetime(None).test_before_acquire(false)
    };
    // Synchronous FULL: a commit is answered after the log is on disk, and not before.
    let write = options
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let writer = pool(1).connect_with(write).await?;

    let migrator = migrator(&[(1, "users", include_str!("../../migrations/sqlite/0001_users.sql"))]);
    match migrator.run(&writer).await {
        // Another process was faster with the same; SQLite has no lock to hold for it.
        Err(MigrateError::Execute(sqlx::Error::Database(error))) if error.is_unique_violation() => {
            migrator.run(&writer).await?;
        }
        result => result?,
    }
    let readers = pool(SQLITE_READERS).connect_with(options.read_only(true)).await?;
    Ok(Pools::Sqlite(ReadWrite { readers, writer }))
}

async fn postgres(options: &PgConnectOptions) -> Result<Pools, OpenError> {
    // Once past the pool, which would hide the cause behind "timed out".
    let connecting = tokio::time::timeout(CONNECT_LIMIT, options.connect());
    let connection = connecting.await.map_err(|_| sqlx::Error::Io(io::Error::from(io::ErrorKind::TimedOut)))??;
    connection.close().await?;

    // Connections are tested before use (the default): those that a restart of the server
    // killed are replaced, and no request sees them.
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_LIMIT)
        .connect_lazy_with(options.clone());
    // Holds an advisory lock: replicas that start at once do this one after another.
    migrator(&[(1, "users", include_str!("../../migrations/postgres/0001_users.sql"))]).run(&pool).await?;
    Ok(Pools::Postgres(ReadWrite { readers: pool.clone(), writer: pool }))
}

/// Built here and not by sqlx's macro, which would cost the build a second sqlx.
fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(migrations.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use sqlx::query_scalar;

    use super::*;

    #[tokio::test]
    async fn what_sqlite_acknowledges_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let Pools::Sqlite(ReadWrite { writer, .. }) = sqlite(&dir.path().join("users.db")).await.unwrap() else {
            panic!("these are SQLite's pools");
        };
        let mode: String = query_scalar("PRAGMA journal_mode").fetch_one(&writer).await.unwrap();
        assert_eq!(mode, "wal");
        let synchronous: i64 = query_scalar("PRAGMA synchronous").fetch_one(&writer).await.unwrap();
        assert_eq!(synchronous, 2, "2 is FULL");
    }
}
