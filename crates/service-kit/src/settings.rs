//! The settings that services share: flags, each with an environment variable of the same meaning.
//!
//! A bad setting ends the process with exit code 64 (`EX_USAGE` of BSD's sysexits) and one line that names the setting,
//! its value and what is allowed.
//!
//! # Layout
//!
//! * `service_args`: [`ServiceArgs`], the flags of every service.
//! * `connection_args`: [`ConnectionArgs`], the limits on connections.
//! * `log_args`: [`LogArgs`], what is logged and how.
//! * `delay_args`: [`DelayArgs`], simulated latency and faults.
//! * `value_parser`: parsers for the values of flags.
//! * `usage_error`: [`UsageError`], the one-line error for a bad setting.

mod connection_args;
mod delay_args;
mod log_args;
mod service_args;
mod usage_error;
mod value_parser;

#[cfg(test)]
pub(crate) use self::usage_error::arg_of;
pub use self::{
    connection_args::ConnectionArgs,
    delay_args::DelayArgs,
    log_args::{LogArgs, LogFormat, parse_filter},
    service_args::{Listen, ServiceArgs},
    usage_error::{EX_USAGE, UsageError},
    value_parser::{duration, positive_duration, whole_number},
};
