//! The database that stores the users: which kind, and where it is.
//!
//! # Layout
//!
//! * `postgres`: a PostgreSQL URL, with TLS as libpq's parameters say it.

mod postgres;

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

pub(crate) use self::postgres::{Certificates, Postgres, Roots};

/// A database, parsed from `--database`.
///
/// Neither `Display` nor `Debug` shows a password.
#[derive(Clone)]
pub struct Database(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Sqlite(PathBuf),
    Postgres(Box<Postgres>),
}

/// The error for a text that names no database. Repeats only those parts of the text that cannot be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: expected \"sqlite:PATH\" or \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\"")]
pub struct ParseDatabaseError(String);

// === impl Database ===

impl FromStr for Database {
    type Err = ParseDatabaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("sqlite", rest)) => sqlite(rest.strip_prefix("//").unwrap_or(rest)).map(Kind::Sqlite),
            Some(("postgres" | "postgresql", _)) => {
                Postgres::parse(text, |name| env::var(name).ok()).map(|postgres| Kind::Postgres(Box::new(postgres)))
            }
            Some((scheme, _)) if !scheme.contains('@') => {
                Err(format!("starts with \"{}:\"", scheme.chars().take(32).collect::<String>().escape_debug()))
            }
            Some(_) | None => Err("has no scheme".to_owned()),
        }
        .map(Self)
        .map_err(ParseDatabaseError)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(postgres) => {
                let options = &postgres.options;
                write!(f, "postgres://{}@", options.get_username())?;
                match options.get_socket() {
                    Some(socket) => write!(f, "{}", socket.display())?,
                    None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
                }
                write!(f, "/{}", options.get_database().unwrap_or(options.get_username()))
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

/// Checks the path of an SQLite file.
fn sqlite(path: &str) -> Result<PathBuf, String> {
    if path.is_empty() {
        return Err("\"sqlite:\" names no file".to_owned());
    }
    // A reply to CreateUser means that the user is on disk. Also, each connection of a pool would have a database of its
    // own.
    if path.contains(":memory:") {
        return Err("a database in memory loses its users when the process ends; name a file".to_owned());
    }
    // SQLite would parse such a name as a URI with parameters, which could turn durability off.
    if path.starts_with("file:") || path.contains(['?', '\0']) {
        return Err("\"sqlite:\" takes a plain path, no URI and no parameters".to_owned());
    }
    Ok(Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Database>().unwrap().to_string()
    }

    #[test]
    fn a_path_stays_as_it_is() {
        assert_eq!(shown("sqlite:users.db"), "sqlite:users.db");
        assert_eq!(shown("sqlite:/var/lib/my users.db"), "sqlite:/var/lib/my users.db");
        assert_eq!(shown("sqlite:///var/lib/users.db"), "sqlite:/var/lib/users.db");
        assert_eq!(shown("sqlite://users.db"), "sqlite:users.db");
    }

    #[test]
    fn a_password_is_never_shown() {
        let database: Database = "postgresql://fan:s3cret@db.example:6432/users".parse().unwrap();
        assert_eq!(database.to_string(), "postgres://fan@db.example:6432/users");
        assert_eq!(format!("{database:?}"), "Database(postgres://fan@db.example:6432/users)");
        let database = shown("postgres://fan@localhost/users?host=/run/postgresql&password=s3cret");
        assert_eq!(database, "postgres://fan@/run/postgresql/users");
        for text in [
            "postgres://fan:s3cret@db:port/users",
            "postgres://fan:s3cret@db/u?sslmode=s",
            "mysql://fan:s3cret@db",
            "s3cret@db:1",
        ] {
            let error = text.parse::<Database>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_error_names_what_is_allowed() {
        for (text, wrong) in [
            ("", "has no scheme"),
            ("users.db", "has no scheme"),
            ("mysql://db/users", "starts with \"mysql:\""),
            ("sqlite:", "names no file"),
            ("sqlite::memory:", "in memory"),
            ("sqlite:file:users.db", "plain path"),
            ("sqlite:users.db?mode=ro", "plain path"),
            ("postgres://db:99999/users", "not a PostgreSQL URL"),
            ("postgres://db/users?sslmode=verify_full", "sslmode"),
        ] {
            let error = text.parse::<Database>().unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("sqlite:PATH"), "{text}: {error}");
        }
    }
}
