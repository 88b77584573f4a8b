//! Whether the database is there, asked while the service runs.

use std::{path::Path, sync::Arc};

use service_kit::{BoxError, ReadinessCheck};
use sqlx::{ConnectOptions as _, PgConnection, Postgres, Sqlite, query_as};

use super::{
    Pools, ReadWrite, Store, connect,
    error::OpenError,
    files::{DatabaseFiles, FileError, Snapshot},
};
use crate::database::Kind;

/// `to_regclass` is NULL if there is no such table: another database has the name.
const CAN_WRITE: &str = "SELECT current_setting('transaction_read_only') = 'off', to_regclass('users') IS NOT NULL";

/// Checks that the database is there and can be written. Opens an SQLite database again if its file was replaced.
#[derive(Debug)]
pub struct StoreReadiness {
    store: Store,
    /// A connection beside the pool's, all of which may be in use. `None` until the first check, and after one that failed.
    postgres: Option<PgConnection>,
    /// The file in place of the one that is open, at the last check.
    replacement: Option<Snapshot>,
}

/// The server answers, but nothing can be written.
#[derive(Debug, thiserror::Error)]
enum NotWritable {
    #[error("it accepts no writes: transaction_read_only is on")]
    ReadOnly,
    #[error("it has no table of users")]
    NoTable,
}

/// Whether the server accepts writes, and whether there is a table of users.
type CanWrite = (bool, bool);

// === impl StoreReadiness ===

impl StoreReadiness {
    /// Returns a check of the database of this store.
    pub fn new(store: Store) -> Self {
        Self { store, postgres: None, replacement: None }
    }

    async fn sqlite(&mut self, pools: &ReadWrite<Sqlite>, files: &DatabaseFiles, path: &Path) -> Result<(), BoxError> {
        let found = files.check().await;
        // They are closed if an earlier attempt to open them again has failed.
        let must_reopen = matches!(found, Err(FileError::Replaced(_))) || pools.writer.is_closed();
        if must_reopen && self.has_settled(path).await? {
            // First: connections to different files of one name would share the index of their logs.
            pools.close().await;
            let reopened = connect::reopen_sqlite(path).await.map_err(|error| self.failed(error))?;
            self.store.replace(reopened);
            tracing::info!(database = %self.store.database, "the database was replaced, and is opened again");
            return Ok(());
        }
        found.map_err(|error| self.failed(error))?;
        if must_reopen { Err("the database is not open".into()) } else { Ok(()) }
    }

    /// Returns whether there is a file to open: the same as at the last check, so that none is opened that is still being
    /// copied. An empty one is no database, and would become one without users.
    async fn has_settled(&mut self, path: &Path) -> Result<bool, BoxError> {
        let found = Snapshot::at(path.to_owned()).await?;
        let before = std::mem::replace(&mut self.replacement, found);
        Ok(found.is_some() && found == before)
    }

    async fn postgres(&mut self, pools: &ReadWrite<Postgres>) -> Result<(), BoxError> {
        // Taken out: it is closed if a query fails or the check takes too long.
        let known = match self.postgres.take() {
            // That it was closed says nothing: requests get new connections for those that were.
            Some(mut connection) => can_write(&mut connection).await.ok().map(|answer| (connection, answer)),
            None => None,
        };
        let (connection, answer) = match known {
            Some(known) => known,
            None => self.ask_anew(pools).await.map_err(|error| self.failed(error))?,
        };
        match answer {
            (true, true) => {
                self.postgres = Some(connection);
                Ok(())
            }
            // The next check has a new connection: what a session is allowed may be decided when it begins.
            (false, _) => Err(self.failed(OpenError::unavailable(NotWritable::ReadOnly))),
            (true, false) => Err(self.failed(OpenError::unavailable(NotWritable::NoTable))),
        }
    }

    /// Asks on a new connection.
    async fn ask_anew(&self, pools: &ReadWrite<Postgres>) -> sqlx::Result<(PgConnection, CanWrite)> {
        let mut connection = pools.writer.connect_options().connect().await?;
        let answer = can_write(&mut connection).await?;
        Ok((connection, answer))
    }

    /// Names the database in an error.
    fn failed(&self, error: impl Into<OpenError>) -> BoxError {
        error.into().at(&self.store.database).into()
    }
}

impl ReadinessCheck for StoreReadiness {
    async fn check(&mut self) -> Result<(), BoxError> {
        let (pools, database) = (self.store.pools(), Arc::clone(&self.store.database));
        match (&*pools, &database.0) {
            (Pools::Sqlite(pools, files), Kind::Sqlite(path)) => self.sqlite(pools, files, path).await,
            (Pools::Postgres(pools), _) => self.postgres(pools).await,
            (Pools::Sqlite(..), Kind::Postgres(_)) => unreachable!("the pools are of the database"),
        }
    }
}

async fn can_write(connection: &mut PgConnection) -> sqlx::Result<CanWrite> {
    query_as(CAN_WRITE).fetch_one(connection).await
}
