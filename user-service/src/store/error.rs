//! Errors of the store.
//!
//! A cause is classified by its type and code, never by its text.

use std::{borrow::Borrow, io::ErrorKind, sync::Arc};

use sqlx::{error::DatabaseError, migrate::MigrateError, postgres::PgDatabaseError, sqlite::SqliteError};

use super::{files::FileError, tls::HandshakeError};
use crate::database::Database;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the store. `Display` includes the cause, in one line and without a password. Callers over the network get
/// less.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or is too slow. A later attempt may succeed.
    #[error("{database} does not answer: {source}")]
    Unavailable {
        /// The database.
        database: String,
        /// The driver's error.
        source: BoxError,
    },
    /// The database can be read, but not written, until somebody changes that.
    #[error("{database} is read-only: {source}")]
    ReadOnly {
        /// The database.
        database: String,
        /// The driver's error.
        source: BoxError,
    },
    /// The database can be reached but not used: a wrong password, a file without permissions, a schema of a newer
    /// version. A later attempt does not succeed.
    #[error("{database} cannot be used: {source}")]
    Unusable {
        /// The database.
        database: String,
        /// The driver's error.
        source: BoxError,
    },
    /// The stored data is damaged, or is not a database.
    #[error("{database} is corrupt or not a database: {source}")]
    Corrupt {
        /// The database.
        database: String,
        /// The driver's error.
        source: BoxError,
    },
    /// A user has the id of the new user already.
    #[error("a user with the id {id:?} exists already")]
    Exists {
        /// The id.
        id: String,
    },
    /// A query failed in a way that only a mistake in this program explains.
    #[error("{database} answered unexpectedly: {source}")]
    Internal {
        /// The database.
        database: String,
        /// The driver's error.
        source: BoxError,
    },
}

/// What a cause means for callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Unavailable,
    ReadOnly,
    Unusable,
    Corrupt,
    Internal,
}

/// An error that does not name its database yet.
#[derive(Debug)]
pub(super) struct OpenError {
    class: Class,
    source: BoxError,
}

// === impl StoreError ===

impl StoreError {
    /// Returns whether a later attempt may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::ReadOnly { .. }
            | Self::Unusable { .. }
            | Self::Corrupt { .. }
            | Self::Exists { .. }
            | Self::Internal { .. } => false,
        }
    }

    pub(super) fn from_sqlx(error: impl Into<OpenError>, database: &Database) -> Self {
        error.into().at(database)
    }
}

// === impl OpenError ===

impl OpenError {
    /// Returns the error for a cause that stays.
    pub(super) fn unusable(source: impl Into<BoxError>) -> Self {
        Self { class: Class::Unusable, source: source.into() }
    }

    /// Returns the error for a cause that may go away.
    pub(super) fn unavailable(source: impl Into<BoxError>) -> Self {
        Self { class: Class::Unavailable, source: source.into() }
    }

    fn of_driver(error: impl Borrow<sqlx::Error> + Into<BoxError>) -> Self {
        let handshake = match error.borrow() {
            sqlx::Error::Io(error) => HandshakeError::of(error),
            _ => None,
        };
        match handshake {
            // Whoever waits does not get another certificate.
            Some(error) => Self::unusable(error),
            None => Self { class: Class::of(error.borrow()), source: error.into() },
        }
    }

    pub(super) fn at(self, database: &Database) -> StoreError {
        let Self { class, source } = self;
        let database = database.to_string();
        match class {
            Class::Unavailable => StoreError::Unavailable { database, source },
            Class::ReadOnly => StoreError::ReadOnly { database, source },
            Class::Unusable => StoreError::Unusable { database, source },
            Class::Corrupt => StoreError::Corrupt { database, source },
            Class::Internal => StoreError::Internal { database, source },
        }
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::of_driver(error)
    }
}

/// An error that several look-ups have.
impl From<Arc<sqlx::Error>> for OpenError {
    fn from(error: Arc<sqlx::Error>) -> Self {
        Self::of_driver(error)
    }
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> Self {
        let class = match &error {
            FileError::Unknown(error) if error.kind() == ErrorKind::PermissionDenied => Class::Unusable,
            FileError::Replaced(_) | FileError::Truncated | FileError::Unknown(_) => Class::Unavailable,
            FileError::ReadOnly => Class::ReadOnly,
        };
        Self { class, source: error.into() }
    }
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            // The other errors mean that the schema is another program's, or of a newer version.
            error => Self::unusable(error),
        }
    }
}

// === impl Class ===

impl Class {
    fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => Self::Unusable,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable
            }
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => Self::Unusable,
            sqlx::Error::Database(error) => Self::of_database(&**error),
            // The driver's enum is non-exhaustive.
            _ => Self::Internal,
        }
    }

    fn of_database(error: &dyn DatabaseError) -> Self {
        if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
            return Self::of_sqlstate(error.code());
        }
        let code = error.try_downcast_ref::<SqliteError>().and_then(|error| error.code()?.parse().ok());
        code.map_or(Self::Internal, Self::of_result_code)
    }

    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn of_sqlstate(code: &str) -> Self {
        match code {
            // insufficient_privilege
            "42501" => Self::Unusable,
            // data_corrupted, index_corrupted
            "XX001" | "XX002" => Self::Corrupt,
            // read_only_sql_transaction: a standby that is about to be promoted
            "25006" => Self::Unavailable,
            _ => match code.get(..2) {
                // connection, rollback, resources, lock, operator intervention, system
                Some("08" | "40" | "53" | "55" | "57" | "58") => Self::Unavailable,
                // authorization, no such database, no such schema
                Some("28" | "3D" | "3F") => Self::Unusable,
                _ => Self::Internal,
            },
        }
    }

    /// <https://www.sqlite.org/rescode.html>: the lowest byte is the primary code.
    fn of_result_code(code: i32) -> Self {
        match (code, code & 0xff) {
            // CORRUPT, NOTADB, IOERR_DATA, IOERR_CORRUPTFS
            (_, 11 | 26) | (8202 | 8458, _) => Self::Corrupt,
            // READONLY_DBMOVED; BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, FULL, PROTOCOL
            (1032, _) | (_, 5 | 6 | 7 | 9 | 10 | 13 | 15) => Self::Unavailable,
            // READONLY
            (_, 8) => Self::ReadOnly,
            // PERM, CANTOPEN, AUTH
            (_, 3 | 14 | 23) => Self::Unusable,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn causes_are_classified_by_kind_and_code() {
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::NotFound, ErrorKind::TimedOut, ErrorKind::UnexpectedEof] {
            assert_eq!(Class::of(&io::Error::from(kind).into()), Class::Unavailable, "{kind}");
        }
        assert_eq!(Class::of(&io::Error::from(ErrorKind::PermissionDenied).into()), Class::Unusable);
        for (code, class) in [
            ("57P03", Class::Unavailable),
            ("57P01", Class::Unavailable),
            ("53300", Class::Unavailable),
            ("40P01", Class::Unavailable),
            ("25006", Class::Unavailable),
            ("28P01", Class::Unusable),
            ("3D000", Class::Unusable),
            ("42501", Class::Unusable),
            ("XX001", Class::Corrupt),
            ("42P01", Class::Internal),
            ("", Class::Internal),
        ] {
            assert_eq!(Class::of_sqlstate(code), class, "{code}");
        }
        for (code, class) in [
            (5, Class::Unavailable),
            (517, Class::Unavailable),
            (10, Class::Unavailable),
            (13, Class::Unavailable),
            (14, Class::Unusable),
            (8, Class::ReadOnly),
            (1032, Class::Unavailable),
            (11, Class::Corrupt),
            (26, Class::Corrupt),
            (8458, Class::Corrupt),
            (1, Class::Internal),
            (1555, Class::Internal),
        ] {
            assert_eq!(Class::of_result_code(code), class, "{code}");
        }
    }
}
