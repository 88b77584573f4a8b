//! The overrides in a request's [W3C baggage](https://www.w3.org/TR/baggage/): their keys, and errors in them.
//!
//! Parsed here and not by OpenTelemetry's propagator, which drops invalid entries silently: a caller that sets an
//! invalid delay gets an error.

use std::{borrow::Cow, str::FromStr};

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use rpc_layers::Baggage;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::excerpt::excerpt;

/// The longest baggage that is accepted, all its headers together.
pub(crate) const MAX_BYTES: usize = Baggage::MAX_LEN;

/// The name that stands for every service in the key of an override.
pub(crate) const EVERY_SERVICE: &str = "*";

/// An override in a request's baggage, such as `user.delay=500ms`. Its value is not decoded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Override<'a> {
    key: &'a str,
    /// The name in the key: a service's, or [`EVERY_SERVICE`].
    pub(crate) service: &'a str,
    pub(crate) setting: Setting,
    value: &'a str,
}

/// What an override changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Delay,
    ErrorRate,
}

/// The error for baggage whose overrides cannot be applied. Converts to `INVALID_ARGUMENT` with `google.rpc.BadRequest`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", self.field())]
pub struct InvalidBaggage {
    /// The key of the override, unless the whole header is wrong.
    key: Option<String>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("{0} bytes are too long; at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    #[error("not UTF-8; expected ASCII, with everything else percent-encoded")]
    NotUtf8,
    #[error("{given:?}: {reason}, with a comma, a semicolon or a percent sign written %2C, %3B or %25")]
    Value { given: String, reason: String },
    #[error("{0}")]
    Service(String),
}

/// Passes the overrides in the headers `baggage` to `apply`, in their order. Ignores the keys of other systems.
///
/// # Errors
///
/// Returns the first error of `apply`, or an error if the headers are too long or not UTF-8.
pub(crate) fn overrides<'a>(
    headers: &'a HeaderMap,
    mut apply: impl FnMut(Override<'a>) -> Result<(), InvalidBaggage>,
) -> Result<(), InvalidBaggage> {
    let whole = |problem| InvalidBaggage { key: None, problem };
    let mut length = 0;
    for header in headers.get_all("baggage") {
        length += header.len();
        if length > MAX_BYTES {
            return Err(whole(Problem::TooLong(length)));
        }
        let list = std::str::from_utf8(header.as_bytes()).map_err(|_| whole(Problem::NotUtf8))?;
        list.split(',').filter_map(Override::new).try_for_each(&mut apply)?;
    }
    Ok(())
}

// === impl Override ===

impl<'a> Override<'a> {
    /// Reads one member of the list: `key=value;property;…`. Returns `None` for the keys of other systems.
    fn new(member: &'a str) -> Option<Self> {
        let entry = member.split_once(';').map_or(member, |(entry, _properties)| entry);
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        let key = key.trim();
        let (service, setting) = key.split_once('.').filter(|(service, _)| !service.is_empty())?;
        let setting = match setting {
            "delay" => Setting::Delay,
            "error-rate" => Setting::ErrorRate,
            _ => return None,
        };
        Some(Self { key, service, setting, value })
    }

    /// Decodes and parses the value.
    pub(crate) fn parse<T: FromStr<Err: ToString>>(self) -> Result<T, InvalidBaggage> {
        let Self { key, value, .. } = self;
        let invalid = |given, reason| {
            let problem = Problem::Value { given: excerpt(given), reason };
            InvalidBaggage { key: Some(shown(key)), problem }
        };
        let decoded: Cow<'_, str> = percent_decode_str(value.trim())
            .decode_utf8()
            .map_err(|_| invalid(value, "it is not UTF-8 when decoded: expected text".to_owned()))?;
        decoded.parse().map_err(|error: T::Err| invalid(&decoded, error.to_string()))
    }

    /// Returns the error for a name that no service has.
    pub(crate) fn unknown_service(self, reason: String) -> InvalidBaggage {
        InvalidBaggage { key: Some(shown(self.key)), problem: Problem::Service(reason) }
    }
}

/// Returns a key for an error. Most are tokens of HTTP, but a header may hold any bytes.
fn shown(key: &str) -> String {
    excerpt(key).escape_debug().to_string()
}

// === impl InvalidBaggage ===

impl InvalidBaggage {
    /// Returns the name of the invalid field in `google.rpc.BadRequest`, such as `baggage: user.delay`.
    pub fn field(&self) -> String {
        self.key.as_ref().map_or_else(|| "baggage".to_owned(), |key| format!("baggage: {key}"))
    }

    /// Returns what is wrong with the field, and what is allowed.
    pub fn description(&self) -> String {
        self.problem.to_string()
    }
}

impl From<InvalidBaggage> for Status {
    fn from(invalid: InvalidBaggage) -> Self {
        let details = ErrorDetails::with_bad_request_violation(invalid.field(), invalid.description());
        Status::with_error_details(Code::InvalidArgument, invalid.to_string(), details)
    }
}
