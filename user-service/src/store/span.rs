//! A span for each query, named as OpenTelemetry's stable conventions for database clients
//! say: `{operation} {table}`, of kind CLIENT.
//!
//! Parameters are never recorded, only the text with their places.

use std::{borrow::Cow, future::Future, io, time::Duration};

use tracing::{Instrument as _, Span, field::Empty};

use crate::database::{Database, Kind};

/// The longest a query may take. A server that fell off the network answers nothing at
/// all, and not every caller has a deadline.
const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// One query, as text with places for its parameters.
pub(super) struct Statement {
    pub(super) text: &'static str,
    operation: &'static str,
}

/// Which database the queries go to, as spans say it.
pub(super) struct Place {
    pub(super) database: Database,
    system: &'static str,
    namespace: String,
    address: Option<String>,
    port: Option<u16>,
}

// === impl Statement ===

impl Statement {
    pub(super) const fn new(operation: &'static str, text: &'static str) -> Self {
        Self { text, operation }
    }
}

// === impl Place ===

impl Place {
    pub(super) fn of(database: &Database) -> Self {
        let database = database.clone();
        match &database.0 {
            Kind::Sqlite(path) => {
                let namespace = path.display().to_string();
                Self { system: "sqlite", namespace, address: None, port: None, database }
            }
            Kind::Postgres(options) => {
                // The database as it was given: asking for the current schema would cost
                // a query for every query.
                let namespace = options.get_database().unwrap_or(options.get_username()).to_owned();
                let (address, port) = match options.get_socket() {
                    Some(socket) => (socket.display().to_string(), None),
                    None => (options.get_host().to_owned(), Some(options.get_port())),
                };
                Self { system: "postgresql", namespace, address: Some(address), port, database }
            }
        }
    }

    /// Runs a query in its span, for a bounded time.
    pub(super) async fn traced<T>(
        &self,
        statement: &Statement,
        query: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let span = self.span(statement);
        let bounded = async {
            match tokio::time::timeout(QUERY_LIMIT, query).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        };
        let result = bounded.instrument(span.clone()).await;
        if let Err(error) = &result {
            record(&span, error);
        }
        result
    }

    fn span(&self, statement: &Statement) -> Span {
        let Statement { text, operation } = *statement;
        tracing::info_span!(
            "query",
            otel.name = format_args!("{operation} users"),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = self.system,
            db.namespace = self.namespace,
            db.operation.name = operation,
            db.collection.name = "users",
            db.query.text = text,
            db.response.status_code = Empty,
            server.address = self.address,
            server.port = self.port,
            error.type = Empty,
        )
    }
}

/// Marks a span as failed.
fn record(span: &Span, error: &sqlx::Error) {
    span.record("otel.status_code", "ERROR");
    if let sqlx::Error::Database(error) = error
        && let Some(code) = error.code()
    {
        span.record("db.response.status_code", &*code);
    }
    span.record("error.type", &*error_type(error));
}

/// A class of error of few values: the database's own code where there is one.
fn error_type(error: &sqlx::Error) -> Cow<'_, str> {
    match error {
        sqlx::Error::Database(error) => error.code().unwrap_or("_OTHER".into()),
        sqlx::Error::Io(error) => format!("{:?}", error.kind()).into(),
        sqlx::Error::PoolTimedOut => "PoolTimedOut".into(),
        sqlx::Error::PoolClosed => "PoolClosed".into(),
        _ => "_OTHER".into(),
    }
}
