//! The flags that say who may call a service at the edge.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use rpc_layers::identity::AuditLevel;

use super::value_parser::positive_duration;
use crate::identity::KeySource;

/// The flags that say who may call a service. Without them everybody may. Beside those of [`TlsArgs`](super::TlsArgs).
#[derive(Clone, Debug, clap::Args)]
pub struct IdentityArgs {
    /// Take API keys, whose hashes are in this file: `fanout key new` makes them; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// Take tokens (JWT) of this issuer, as their claim `iss` has it
    #[arg(long, value_name = "ISSUER", requires_all = ["jwt_audience", "jwt_jwks"], value_parser = not_empty)]
    pub jwt_issuer: Option<String>,
    /// The audience that tokens have to be for, as their claim `aud` has it
    #[arg(long, value_name = "AUDIENCE", requires = "jwt_issuer", value_parser = not_empty)]
    pub jwt_audience: Option<String>,
    /// The public keys of the issuer, a JWK set: a file, or an https address
    #[arg(long, value_name = "FILE|URL", requires = "jwt_issuer")]
    pub jwt_jwks: Option<KeySource>,
    /// How often the issuer's keys are fetched, if they are at an address
    #[arg(long, default_value = "5m", value_parser = positive_duration, value_name = "DURATION")]
    pub jwt_jwks_refresh: Duration,
    /// Take the verified certificate of a connection as its caller's identity: its first URI name, else its first DNS name
    // Without authorities no client presents one.
    #[arg(long, requires_if("true", "tls_client_ca"))]
    pub client_certificate_identity: bool,
    /// Which identity may call which method: a file with lines such as `key:reports package.Service/Method`; read again
    /// when it changes; without it every identity may call every method
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Whose baggage, trace and overrides count; by default those of callers with an identity, and those of everyone if
    /// no identity is asked for and the service listens on loopback
    #[arg(long, value_name = "WHOSE")]
    pub trust_context: Option<TrustContext>,
    /// What is in the audit log if an identity is asked for
    #[arg(long, default_value = "all", value_name = "WHAT")]
    pub audit: Audit,
}

/// Whose baggage, trace and overrides count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TrustContext {
    /// Those of callers with an identity
    Identified,
    /// Those of all callers
    Everyone,
}

/// What is in the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Audit {
    /// Every request, let in or refused
    #[default]
    All,
    /// Requests that are refused
    Denied,
    /// Nothing
    Off,
}

// === impl IdentityArgs ===

impl IdentityArgs {
    /// Returns whether the context of callers without an identity counts. `is_on` says whether an identity is asked for.
    pub(crate) fn trust_anonymous(&self, is_on: bool, address: Option<SocketAddr>) -> bool {
        match self.trust_context {
            Some(TrustContext::Identified) => false,
            Some(TrustContext::Everyone) => true,
            None => !is_on && address.is_some_and(|address| address.ip().to_canonical().is_loopback()),
        }
    }
}

// === impl Audit ===

impl From<Audit> for AuditLevel {
    fn from(audit: Audit) -> Self {
        match audit {
            Audit::All => Self::All,
            Audit::Denied => Self::Denied,
            Audit::Off => Self::Off,
        }
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected a text that is not empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::{super::TlsArgs, *};

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        args: IdentityArgs,
        #[command(flatten)]
        _tls: TlsArgs,
    }

    #[test]
    fn an_identity_of_certificates_needs_their_authorities() {
        let parse = |args: &[&str]| <Flags as clap::Parser>::try_parse_from([&["program"], args].concat());
        let files = ["--tls-cert", "a", "--tls-key", "b", "--tls-client-ca", "c"];
        assert!(parse(&[&["--client-certificate-identity"], &files[..]].concat()).is_ok());
        let error = parse(&["--client-certificate-identity"]).map(drop).unwrap_err().to_string();
        assert!(error.contains("--tls-client-ca"), "{error}");
    }

    #[test]
    fn the_context_of_strangers_counts_on_loopback_only() {
        let trusts = |trust_context, is_on, address: Option<&str>| {
            let Flags { args, .. } = clap::Parser::parse_from(["program"]);
            let args = IdentityArgs { trust_context, ..args };
            args.trust_anonymous(is_on, address.map(|address| address.parse().unwrap()))
        };
        for (address, expected) in [
            (Some("127.0.0.1:1"), true),
            (Some("[::1]:1"), true),
            (Some("[::ffff:127.0.0.1]:1"), true),
            (Some("0.0.0.0:1"), false),
            (Some("192.0.2.1:1"), false),
            (None, false),
        ] {
            assert_eq!(trusts(None, false, address), expected, "{address:?}");
            assert!(!trusts(None, true, address), "an identity is asked for, and it has none");
            assert!(trusts(Some(TrustContext::Everyone), true, address));
            assert!(!trusts(Some(TrustContext::Identified), false, address));
        }
    }
}
