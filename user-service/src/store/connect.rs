//! Opens a database: connects, and brings the schema up to date.

use std::{fs, io, path::Path, time::Duration};

use futures::future::try_join_all;
use sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    Pools, ReadWrite,
    error::OpenError,
    files::{DatabaseFiles, FileError, FileId, is_read_only},
    lookups::Lookups,
    tls,
};
use crate::database::{Database, Kind, Postgres};

/// How long a query waits for a connection to PostgreSQL, which may be gone. A look-up that joined it late asks again alone,
/// and waits as long once more.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a query waits for a connection to SQLite, its deadline permitting: as long as for the query itself. All of them
/// are open and none gets lost, so that it waits for other requests only, as in a burst.
const SQLITE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting to PostgreSQL may take at start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The number of connections for reading. Each is a thread; a look-up by key takes microseconds.
const SQLITE_READERS: u32 = 4;
/// The number of connections: a tenth of a server's default limit, for several replicas.
const POSTGRES_CONNECTIONS: u32 = 10;

pub(super) async fn open(database: &Database) -> Result<Pools, OpenError> {
    match &database.0 {
        Kind::Sqlite(path) => {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).map_err(OpenError::unusable)?;
            }
            sqlite(path, true).await
        }
        Kind::Postgres(settings) => postgres(settings).await,
    }
}

/// Opens an SQLite database that was there before: a new one would have no users.
pub(super) async fn reopen_sqlite(path: &Path) -> Result<Pools, OpenError> {
    sqlite(path, false).await
}

/// SQLite has one writer at a time. With one connection for all writes, they wait in a fair queue instead of for each
/// other's locks. In WAL mode, readers do not wait.
async fn sqlite(path: &Path, create: bool) -> Result<Pools, OpenError> {
    let before = FileId::at(path).map_err(FileError::from)?;
    // SQLite would open it for reading alone, and fail later.
    if fs::metadata(path).is_ok_and(|metadata| is_read_only(path, &metadata)) {
        return Err(FileError::ReadOnly.into());
    }
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    // A file has no network that could fail: connections live as long as the process.
    let pool = |connections| {
        let options = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(SQLITE_ACQUIRE_TIMEOUT);
        options.idle_timeout(None).max_lifetime(None).test_before_acquire(false)
    };
    // FULL: a commit returns only when the log is on disk.
    let write = options
        .clone()
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let writer = pool(1).connect_with(write).await?;

    let migrator = migrator(&[(1, "users", include_str!("../../migrations/sqlite/0001_users.sql"))]);
    match migrator.run(&writer).await {
        // Another process has migrated at the same time: SQLite has no lock for that.
        Err(MigrateError::Execute(sqlx::Error::Database(error))) if error.is_unique_violation() => {
            migrator.run(&writer).await?;
        }
        result => result?,
    }
    let readers = pool(SQLITE_READERS).connect_with(options.read_only(true)).await?;
    // All at once: one that is opened later could be to another file.
    try_join_all((0..SQLITE_READERS).map(|_| readers.acquire())).await?;
    let files = DatabaseFiles::of(path).map_err(FileError::from)?;
    if before.is_some() && before != FileId::at(path).map_err(FileError::from)? {
        return Err(FileError::Replaced("the file".to_owned()).into());
    }
    Ok(Pools::Sqlite(ReadWrite { readers, writer, lookups: Lookups::default() }, files))
}

async fn postgres(settings: &Postgres) -> Result<Pools, OpenError> {
    let options = negotiate(tls::options(settings)?).await?;
    if matches!(options.get_ssl_mode(), PgSslMode::VerifyCa) {
        // The driver trusts them beside sslrootcert.
        tracing::warn!(
            "a certificate of any public authority, for any name, is accepted too: sslmode=verify-full is not so"
        );
    }
    // Connections are tested before use (the default), so that those that a restart of the server has closed are replaced
    // and fail no request.
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options);
    // Holds an advisory lock, so that replicas that start at once migrate one after another.
    migrator(&[(1, "users", include_str!("../../migrations/postgres/0001_users.sql"))]).run(&pool).await?;
    Ok(Pools::Postgres(ReadWrite { readers: pool.clone(), writer: pool, lookups: Lookups::default() }))
}

/// Connects once, and returns the options with the mode that has succeeded. Without the pool, which would report only
/// "timed out" instead of the cause.
async fn negotiate(options: PgConnectOptions) -> Result<PgConnectOptions, OpenError> {
    let mut failed: Option<sqlx::Error> = None;
    for mode in tls::attempts(options.get_ssl_mode()) {
        let options = options.clone().ssl_mode(*mode);
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, options.connect());
        let timed_out = |_| sqlx::Error::Io(io::Error::from(io::ErrorKind::TimedOut));
        match connecting.await.map_err(timed_out).flatten() {
            Ok(connection) => {
                connection.close().await?;
                return Ok(options);
            }
            Err(error) => {
                let may_differ = tls::depends_on_encryption(&error);
                // The one with encryption says more: without it, the server has often just no rule for the client.
                if failed.is_none() || !matches!(mode, PgSslMode::Disable) {
                    failed = Some(error);
                }
                if !may_differ {
                    break;
                }
            }
        }
    }
    Err(failed.expect("there is at least one mode").into())
}

/// Returns the migrator. sqlx's macro would do the same, but compile sqlx a second time.
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
    async fn sqlite_syncs_each_commit() {
        let dir = tempfile::tempdir().unwrap();
        let Pools::Sqlite(ReadWrite { writer, .. }, _) = sqlite(&dir.path().join("users.db"), true).await.unwrap()
        else {
            panic!("not SQLite's pools");
        };
        let mode: String = query_scalar("PRAGMA journal_mode").fetch_one(&writer).await.unwrap();
        assert_eq!(mode, "wal");
        let synchronous: i64 = query_scalar("PRAGMA synchronous").fetch_one(&writer).await.unwrap();
        assert_eq!(synchronous, 2, "2 is FULL");
    }
}
