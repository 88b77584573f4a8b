//! Keeps traces over a restart: the latest requests in a SQLite database, read again at the start.
//!
//! Requests are kept as they came, because that is all there is to keep: what the store makes of them is made again.
//! They take as many bytes as the traces may in memory, where they take more; the oldest go first.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    outlet::{Item, OutletCounts},
    store::Store,
};

/// The file in the directory.
const FILE: &str = "traces.db";

/// How long requests are collected for one transaction, and how many.
const COLLECT: Duration = Duration::from_millis(500);
const AT_ONCE: usize = 256;

/// The database.
#[derive(Debug)]
pub(crate) struct Persist {
    connection: SqliteConnection,
    /// How many bytes the requests in it take, and may take.
    bytes: i64,
    max_bytes: i64,
    counts: Arc<OutletCounts>,
}

// === impl Persist ===

impl Persist {
    /// Opens the database in a directory, which is created if it is missing, and puts what it has into the store.
    pub(crate) async fn open(
        directory: &Path,
        store: &Store,
        max_bytes: usize,
        counts: Arc<OutletCounts>,
    ) -> Result<Self, sqlx::Error> {
        std::fs::create_dir_all(directory).map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(directory.join(FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A crash of the machine may lose the last moments, and damages nothing.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(1))
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY AUTOINCREMENT, bytes BLOB NOT NULL)")
            .execute(&mut connection)
            .await?;
        let sum =
            sqlx::query("SELECT COALESCE(SUM(LENGTH(bytes)), 0) FROM requests").fetch_one(&mut connection).await?;
        let max_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        let mut persist = Self { connection, bytes: sum.try_get(0)?, max_bytes, counts };
        persist.replay(store).await?;
        Ok(persist)
    }

    /// Puts the requests into the store, one by one: all of them together may be more than fits.
    async fn replay(&mut self, store: &Store) -> Result<(), sqlx::Error> {
        let (mut last, mut spans) = (0_i64, 0);
        loop {
            let row = sqlx::query("SELECT id, bytes FROM requests WHERE id > ? ORDER BY id LIMIT 1")
                .bind(last)
                .fetch_optional(&mut self.connection)
                .await?;
            let Some(row) = row else { break };
            last = row.try_get(0)?;
            match store.decode(Bytes::from(row.try_get::<Vec<u8>, _>(1)?)) {
                Ok(batch) => {
                    spans += batch.spans;
                    store.insert(batch);
                }
                Err(error) => tracing::warn!(id = last, %error, "a request in the database cannot be read"),
            }
        }
        if spans > 0 {
            tracing::info!(spans, "read from the database");
        }
        Ok(())
    }

    /// Writes what comes, until the queue is closed.
    pub(crate) async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        while let Some(first) = items.recv().await {
            let mut requests = vec![first];
            let until = Instant::now() + COLLECT;
            while requests.len() < AT_ONCE {
                match timeout_at(until, items.recv()).await {
                    Ok(Some(item)) => requests.push(item),
                    Ok(None) | Err(_) => break,
                }
            }
            match self.write(&requests).await {
                Ok(()) => self.counts.pass(requests.len() as u64),
                Err(error) => self.counts.lose(requests.len() as u64, &error),
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the database was not closed in order");
        }
    }

    async fn write(&mut self, requests: &[Item]) -> Result<(), sqlx::Error> {
        let mut bytes = self.bytes;
        let mut transaction = self.connection.begin().await?;
        for request in requests {
            sqlx::query("INSERT INTO requests (bytes) VALUES (?)")
                .bind(&request.bytes[..])
                .execute(&mut *transaction)
                .await?;
            bytes += i64::try_from(request.bytes.len()).unwrap_or(i64::MAX);
        }
        while bytes > self.max_bytes {
            let oldest = "DELETE FROM requests WHERE id = (SELECT MIN(id) FROM requests) RETURNING LENGTH(bytes)";
            let Some(row) = sqlx::query(oldest).fetch_optional(&mut *transaction).await? else { break };
            bytes -= row.try_get::<i64, _>(0)?;
        }
        transaction.commit().await?;
        self.bytes = bytes;
        Ok(())
    }
}
