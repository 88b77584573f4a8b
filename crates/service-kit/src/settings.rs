//! The settings that services share: flags, each with an environment variable of the same meaning.
//!
//! A bad setting ends the process with exit code 64 (`EX_USAGE` of BSD's sysexits) and one line that names the setting,
//! its value and what is allowed.
//!
//! # Layout
//!
//! * `service_args`: [`ServiceArgs`], the flags of every service.
//! * `connection_args`: [`ConnectionArgs`], the limits on connections.
//! * `tls_args`: [`TlsArgs`], the service's certificate and who may connect. `client_tls_args`: [`ClientTlsArgs`], the same
//!   for calls to other services.
//! * `identity_args`: [`IdentityArgs`], who may call a service at the edge.
//! * `log_args`: [`LogArgs`], what is logged and how.
//! * `rate_args`: [`RateArgs`], the limit on each caller's requests.
//! * `delay_args`: [`DelayArgs`], simulated latency and faults.
//! * `value_parser`: parsers for the values of flags.
//! * `usage_error`: [`UsageError`], the one-line error for a bad setting.

mod client_tls_args;
mod connection_args;
mod delay_args;
mod identity_args;
mod log_args;
mod rate_args;
mod service_args;
mod tls_args;
mod usage_error;
mod value_parser;

#[cfg(test)]
pub(crate) use self::usage_error::arg_of;
pub(crate) use self::usage_error::variable;
pub use self::{
    client_tls_args::ClientTlsArgs,
    connection_args::ConnectionArgs,
    delay_args::DelayArgs,
    identity_args::{Audit, IdentityArgs, TrustContext},
    log_args::{LogArgs, LogFormat, parse_filter},
    rate_args::{Rate, RateArgs},
    service_args::{Listen, ServiceArgs},
    tls_args::TlsArgs,
    usage_error::{EX_USAGE, UsageError},
    value_parser::{duration, positive_duration, whole_number},
};
