//! A span for each query, by OpenTelemetry's stable conventions for database clients: of kind CLIENT, and named
//! `{operation} {table}`.
//!
//! Records the text of a query with its placeholders, and never its parameters. The text of a look-up that shares a query is
//! that which it would have alone.

use std::{
    borrow::{Borrow, Cow},
    future::Future,
    io,
    time::Duration,
};

use service_kit::telemetry::EndGuard;
use tracing::{Instrument as _, Span, field::Empty};

use crate::database::{Database, Kind};

/// The maximum duration of a query. A server that has lost its network does not answer at all, and not every caller has a
/// deadline.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// A query with placeholders for its parameters.
pub(super) struct Statement {
    pub(super) text: &'static str,
    operation: &'static str,
}

// === impl Statement ===

impl Statement {
    pub(super) const fn new(operation: &'static str, text: &'static str) -> Self {
        Self { text, operation }
    }
}

/// Records in the span of a look-up how many of them shared the query. No `db.operation.batch.size`: by the conventions one
/// statement with several ids is no batch.
pub(super) fn record_shared(lookups: usize) {
    if lookups > 1 {
        Span::current().record("fanout.lookups", lookups);
    }
}

// === impl Database ===

impl Database {
    /// Runs a query in its span, for a bounded time.
    pub(super) async fn traced<T, E>(
        &self,
        statement: &Statement,
        query: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<sqlx::Error> + Borrow<sqlx::Error>,
    {
        let span = self.span(statement);
        // Where the query runs in it, the thread of SQLite's connection enters it too, and may leave it when the reply is on
        // its way already.
        let _end = EndGuard::new(&span);
        let bounded = async {
            match tokio::time::timeout(QUERY_TIMEOUT, query).await {
                Ok(result) => result,
                Err(_) => Err(sqlx::Error::from(io::Error::from(io::ErrorKind::TimedOut)).into()),
            }
        };
        let result = bounded.instrument(span.clone()).await;
        if let Err(error) = &result {
            record_error(&span, error.borrow());
        }
        result
    }

    fn span(&self, statement: &Statement) -> Span {
        let Statement { text, operation } = *statement;
        let (address, port) = self.server();
        tracing::info_span!(
            "query",
            otel.name = format_args!("{operation} users"),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = self.system(),
            db.namespace = &*self.namespace(),
            db.operation.name = operation,
            db.collection.name = "users",
            db.query.text = text,
            db.response.status_code = Empty,
            server.address = address.as_deref(),
            server.port = port,
            error.type = Empty,
            fanout.lookups = Empty,
        )
    }

    fn system(&self) -> &'static str {
        match &self.0 {
            Kind::Sqlite(_) => "sqlite",
            Kind::Postgres(_) => "postgresql",
        }
    }

    /// Returns the file, or the name of the database in the URL. To ask for the current schema would cost a query for
    /// every query.
    fn namespace(&self) -> Cow<'_, str> {
        match &self.0 {
            Kind::Sqlite(path) => path.to_string_lossy(),
            Kind::Postgres(postgres) => {
                let options = &postgres.options;
                options.get_database().unwrap_or(options.get_username()).into()
            }
        }
    }

    /// Returns host and port, or the path of a socket.
    fn server(&self) -> (Option<Cow<'_, str>>, Option<u16>) {
        match &self.0 {
            Kind::Sqlite(_) => (None, None),
            Kind::Postgres(postgres) => match postgres.options.get_socket() {
                Some(socket) => (Some(socket.to_string_lossy()), None),
                None => (Some(postgres.options.get_host().into()), Some(postgres.options.get_port())),
            },
        }
    }
}

/// Records the error of a query in its span.
fn record_error(span: &Span, error: &sqlx::Error) {
    span.record("otel.status_code", "ERROR");
    if let sqlx::Error::Database(error) = error
        && let Some(code) = error.code()
    {
        span.record("db.response.status_code", &*code);
    }
    span.record("error.type", &*error_type(error));
}

/// Returns the type of an error, of which there are few: the database's own code if it has one.
fn error_type(error: &sqlx::Error) -> Cow<'_, str> {
    match error {
        sqlx::Error::Database(error) => error.code().unwrap_or("_OTHER".into()),
        sqlx::Error::Io(error) => format!("{:?}", error.kind()).into(),
        sqlx::Error::PoolTimedOut => "PoolTimedOut".into(),
        sqlx::Error::PoolClosed => "PoolClosed".into(),
        _ => "_OTHER".into(),
    }
}
