//! A PostgreSQL URL, with TLS as libpq's parameters say it.
//!
//! The driver, sqlx, reads a URL more leniently than libpq, where that costs security: it ignores parameters that it does
//! not know, and an invalid `PGSSLMODE`. What is checked and changed here makes up for that.

use std::path::PathBuf;

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

/// A server, and how to connect to it.
#[derive(Clone)]
pub(crate) struct Postgres {
    pub(crate) options: PgConnectOptions,
    pub(crate) certificates: Certificates,
}

/// The files that TLS needs, which are read when a connection is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// Whom to trust; `None` if nobody is verified, or the driver's own list of public authorities counts.
    pub(crate) roots: Option<Roots>,
    /// The client's certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

/// The authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Those of the operating system: `sslrootcert=system`.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// A parameter of libpq, its variable, and the other spellings that sqlx knows.
struct Parameter {
    names: &'static [&'static str],
    variable: &'static str,
}

const SSL_MODE: Parameter = Parameter { names: &["sslmode", "ssl-mode"], variable: "PGSSLMODE" };
const ROOT_CERT: Parameter =
    Parameter { names: &["sslrootcert", "ssl-root-cert", "ssl-ca"], variable: "PGSSLROOTCERT" };
const CERT: Parameter = Parameter { names: &["sslcert", "ssl-cert"], variable: "PGSSLCERT" };
const KEY: Parameter = Parameter { names: &["sslkey", "ssl-key"], variable: "PGSSLKEY" };

/// What else a URL may have.
const OTHERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "statement-cache-capacity",
    "user",
];

/// The parameters of libpq that the driver does not have. Only these are repeated in an error: what looks like the name of
/// another may be a part of a password.
const UNSUPPORTED: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

const MODES: &str = "disable, allow, prefer, require, verify-ca or verify-full";

// === impl Postgres ===

impl Postgres {
    /// Reads a URL. What it does not say is taken from libpq's variables.
    pub(super) fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let not_a_url = |error| match error {
            sqlx::Error::Configuration(cause) => format!("is not a PostgreSQL URL ({cause})"),
            _ => "is not a PostgreSQL URL".to_owned(),
        };
        let parsed: Option<Url> = text.parse().ok();
        // If it is no URL, the driver's error says why.
        let pairs: Vec<(String, String)> = parsed
            .iter()
            .flat_map(Url::query_pairs)
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        check_names(&pairs)?;
        let read = |parameter: &Parameter| parameter.read(&pairs, &variable);
        // An empty variable counts as unset, as in libpq.
        let mode = read(&SSL_MODE)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| mode(name, &value))
            .transpose()?;
        let certificates = Certificates::new(read(&ROOT_CERT), read(&CERT), read(&KEY))?;
        let options: PgConnectOptions = text.parse().map_err(not_a_url)?;
        let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
        // libpq ignores it too: no network is there to listen to.
        let mode = if is_socket { PgSslMode::Disable } else { certificates.mode(mode)? };
        // Each query has a span; sqlx's log line would repeat it.
        let options = options.ssl_mode(mode).application_name("fanout-user-service").disable_statement_logging();
        Ok(Self { options, certificates })
    }
}

// === impl Parameter ===

impl Parameter {
    /// Returns the value, and where it is from.
    fn read(
        &self,
        pairs: &[(String, String)],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<(&'static str, String)> {
        let in_url = pairs.iter().rev().find(|(key, _)| self.names.contains(&key.as_str()));
        match in_url {
            Some((_, value)) => Some((self.names[0], value.clone())),
            None => variable(self.variable).map(|value| (self.variable, value)),
        }
    }
}

// === impl Certificates ===

impl Certificates {
    fn new(
        roots: Option<(&'static str, String)>,
        certificate: Option<(&'static str, String)>,
        key: Option<(&'static str, String)>,
    ) -> Result<Self, String> {
        let roots = roots.map(|(_, value)| match value.as_str() {
            "system" => Roots::System,
            _ => Roots::File(value.into()),
        });
        let identity = match (certificate, key) {
            (Some((_, certificate)), Some((_, key))) => Some((certificate.into(), key.into())),
            (Some((given, _)), None) => return Err(format!("has {given} without sslkey")),
            (None, Some((given, _))) => return Err(format!("has {given} without sslcert")),
            (None, None) => None,
        };
        Ok(Self { roots, identity })
    }

    /// Returns the mode that the given one amounts to with these authorities.
    fn mode(&self, given: Option<PgSslMode>) -> Result<PgSslMode, String> {
        match (given, &self.roots) {
            // They vouch for anybody: without the name, such a certificate says nothing.
            (None | Some(PgSslMode::VerifyFull), Some(Roots::System)) => Ok(PgSslMode::VerifyFull),
            (Some(_), Some(Roots::System)) => Err("has sslrootcert=system without sslmode=verify-full".to_owned()),
            (Some(PgSslMode::VerifyCa), None) => {
                Err("has sslmode=verify-ca without sslrootcert, the file of those that are trusted".to_owned())
            }
            // As libpq has it, for the sake of old versions.
            (Some(PgSslMode::Require), Some(Roots::File(_))) => Ok(PgSslMode::VerifyCa),
            (given, _) => Ok(given.unwrap_or_default()),
        }
    }
}

/// Returns an error if a parameter is not one of those that have an effect.
fn check_names(pairs: &[(String, String)]) -> Result<(), String> {
    let known = |key: &str| {
        let names = [SSL_MODE.names, ROOT_CERT.names, CERT.names, KEY.names, OTHERS].concat();
        names.contains(&key) || (key.starts_with("options[") && key.ends_with(']'))
    };
    let Some((key, _)) = pairs.iter().find(|(key, _)| !known(key)) else { return Ok(()) };
    match UNSUPPORTED.iter().find(|name| *name == key) {
        Some(name) => Err(format!("has {name}, which is not supported")),
        None => Err(format!(
            "has an unknown parameter (sslmode, sslrootcert, sslcert, sslkey, {} are known)",
            OTHERS.join(", ")
        )),
    }
}

/// Reads a mode.
fn mode(name: &str, value: &str) -> Result<PgSslMode, String> {
    value.parse().map_err(|_| format!("has an invalid {name}: {MODES} is allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, variables: &[(&str, &str)]) -> Result<Postgres, String> {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        Postgres::parse(&format!("postgres://fan:s3cret@db/users?{query}"), variable)
    }

    #[test]
    fn the_mode_is_that_of_libpq() {
        for (query, variables, mode) in [
            ("", &[][..], "Prefer"),
            ("", &[("PGSSLMODE", "")], "Prefer"),
            ("sslmode=allow", &[], "Allow"),
            ("sslmode=Disable", &[], "Disable"),
            ("sslmode=require", &[], "Require"),
            ("sslmode=require&sslrootcert=ca.pem", &[], "VerifyCa"),
            ("sslmode=require", &[("PGSSLROOTCERT", "ca.pem")], "VerifyCa"),
            ("sslmode=verify-ca&sslrootcert=ca.pem", &[], "VerifyCa"),
            ("sslmode=verify-full", &[], "VerifyFull"),
            ("sslrootcert=system", &[], "VerifyFull"),
            ("", &[("PGSSLMODE", "verify-full")], "VerifyFull"),
            ("sslmode=require", &[("PGSSLMODE", "nonsense")], "Require"),
            ("host=/run/postgresql&sslmode=verify-full", &[], "Disable"),
        ] {
            let parsed = parse(query, variables).unwrap();
            assert_eq!(format!("{:?}", parsed.options.get_ssl_mode()), mode, "{query} {variables:?}");
        }
    }

    #[test]
    fn certificates_are_read_from_the_url_before_the_environment() {
        let variables = &[("PGSSLROOTCERT", "other.pem"), ("PGSSLCERT", "me.pem"), ("PGSSLKEY", "me.key")];
        let parsed = parse("sslrootcert=a%20b.pem", variables).unwrap();
        let identity = Some(("me.pem".into(), "me.key".into()));
        assert_eq!(parsed.certificates, Certificates { roots: Some(Roots::File("a b.pem".into())), identity });
    }

    #[test]
    fn what_would_have_no_effect_is_an_error_that_names_it() {
        for (query, variables, named) in [
            ("sslmode=verify_full", &[][..], &["sslmode", "verify-full"][..]),
            ("", &[("PGSSLMODE", "on")], &["PGSSLMODE", "verify-full"]),
            ("sslmode=verify-ca", &[], &["sslmode=verify-ca", "sslrootcert"]),
            ("sslmode=require&sslrootcert=system", &[], &["sslrootcert=system", "verify-full"]),
            ("sslcert=me.pem", &[], &["sslcert", "sslkey"]),
            ("sslkey=me.key", &[], &["sslkey", "sslcert"]),
            ("", &[("PGSSLCERT", "me.pem")], &["PGSSLCERT", "sslkey"]),
            ("channel_binding=require", &[], &["channel_binding", "not supported"]),
            ("sslcrl=revoked.pem", &[], &["sslcrl", "not supported"]),
            ("s3cret@db", &[], &["unknown parameter", "sslrootcert"]),
        ] {
            let Err(error) = parse(query, variables) else { panic!("{query} is accepted") };
            assert!(named.iter().all(|named| error.contains(named)) && !error.contains("s3cret"), "{query}: {error}");
        }
    }
}
