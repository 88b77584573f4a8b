//! The JSON document of a service config, read and checked.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use tonic::Code;

use super::{
    error::InvalidServiceConfig,
    overrides::{HedgeSettings, MethodOverrides, RetrySettings, RetryThrottling},
};
use crate::{
    code_set::CodeSet,
    excerpt::{cut, escape_hidden, excerpt},
};

/// gRFC A6 treats larger values as this.
const MAX_ATTEMPTS: u32 = 5;

/// The longest part of an error, in characters.
const MAX_ERROR: usize = 500;

/// The names of the status codes, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(default)]
    method_config: Vec<MethodConfig>,
    retry_throttling: Option<Throttling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MethodConfig {
    name: Vec<Name>,
    timeout: Option<JsonDuration>,
    wait_for_ready: Option<bool>,
    retry_policy: Option<Retry>,
    hedging_policy: Option<Hedging>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    #[serde(default)]
    service: String,
    #[serde(default)]
    method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Retry {
    max_attempts: Attempts,
    initial_backoff: Positive,
    max_backoff: Positive,
    backoff_multiplier: Ratio,
    retryable_status_codes: Codes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Hedging {
    max_attempts: Attempts,
    #[serde(rename = "hedgingDelay")]
    delay: Option<JsonDuration>,
    non_fatal_status_codes: Option<Codes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Throttling {
    max_tokens: Ratio,
    token_ratio: Ratio,
}

/// At least two attempts; more than five count as five.
struct Attempts(u32);

/// A duration as protobuf's JSON has it: seconds with up to nine decimals and an `s`.
struct JsonDuration(Duration);

/// One that is longer than 0.
struct Positive(Duration);

/// A number greater than 0.
struct Ratio(f64);

/// Status codes by name or number.
struct Codes(CodeSet);

/// What the methods are set to by `/service/method`, `/service/` or the empty string, and the throttling of all.
type Settings = (HashMap<String, MethodOverrides>, Option<RetryThrottling>);

/// Reads the document.
pub(super) fn read(text: &str) -> Result<Settings, InvalidServiceConfig> {
    let mut json = serde_json::Deserializer::from_str(text);
    let document: Document = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        invalid(
            if ["", ".", "?"].contains(&path.as_str()) { "the document".to_owned() } else { path },
            error.inner().to_string(),
        )
    })?;
    json.end().map_err(|error| invalid("the document", error.to_string()))?;
    let mut methods = HashMap::new();
    for (index, entry) in document.method_config.into_iter().enumerate() {
        let (names, overrides) = entry.check(index)?;
        for (place, name) in names {
            if methods.insert(name, overrides.clone()).is_some() {
                return Err(invalid(place, "another entry has the same name: one is allowed"));
            }
        }
    }
    let retry_throttling = document.retry_throttling.map(Throttling::check).transpose()?;
    Ok((methods, retry_throttling))
}

fn invalid(path: impl AsRef<str>, message: impl AsRef<str>) -> InvalidServiceConfig {
    // serde's messages, and paths with an unknown entry, repeat the document's text as it is.
    let shown = |text: &str| cut(&escape_hidden(text), MAX_ERROR);
    InvalidServiceConfig { path: shown(path.as_ref()), message: shown(message.as_ref()) }
}

// === impl MethodConfig ===

impl MethodConfig {
    /// Returns its names, each with its place in the document, and what it sets.
    fn check(self, index: usize) -> Result<(Vec<(String, String)>, MethodOverrides), InvalidServiceConfig> {
        let here = format!("methodConfig[{index}]");
        if self.name.is_empty() {
            let message = "is empty: a service with or without a method is needed, or {} for all".to_owned();
            return Err(invalid(format!("{here}.name"), message));
        }
        if self.retry_policy.is_some() && self.hedging_policy.is_some() {
            let message = "has both a retryPolicy and a hedgingPolicy: one of them is allowed".to_owned();
            return Err(invalid(here, message));
        }
        let mut names = Vec::new();
        for (number, Name { service, method }) in self.name.into_iter().enumerate() {
            let place = format!("{here}.name[{number}]");
            let name = match (service.as_str(), method.as_str()) {
                ("", "") => String::new(),
                ("", _) => return Err(invalid(place, "has a method without its service")),
                (service, method) => format!("/{service}/{method}"),
            };
            names.push((place, name));
        }
        let overrides = MethodOverrides {
            timeout: self.timeout.map(|timeout| timeout.0),
            wait_for_ready: self.wait_for_ready,
            retry: self.retry_policy.map(|retry| retry.check(&here)).transpose()?,
            hedge: self.hedging_policy.map(Hedging::settings),
        };
        Ok((names, overrides))
    }
}

// === impl Retry ===

impl Retry {
    fn check(self, here: &str) -> Result<RetrySettings, InvalidServiceConfig> {
        if self.retryable_status_codes.0.is_empty() {
            let place = format!("{here}.retryPolicy.retryableStatusCodes");
            return Err(invalid(place, "is empty: at least one code is needed, such as UNAVAILABLE"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a multiplier has few digits")]
        Ok(RetrySettings {
            max_attempts: self.max_attempts.0,
            initial_backoff: self.initial_backoff.0,
            max_backoff: self.max_backoff.0,
            multiplier: self.backoff_multiplier.0 as f32,
            codes: self.retryable_status_codes.0,
        })
    }
}

// === impl Hedging ===

impl Hedging {
    fn settings(self) -> HedgeSettings {
        HedgeSettings {
            max_attempts: self.max_attempts.0,
            delay: self.delay.map_or(Duration::ZERO, |delay| delay.0),
            non_fatal: self.non_fatal_status_codes.map_or_else(CodeSet::default, |codes| codes.0),
        }
    }
}

// === impl Throttling ===

impl Throttling {
    fn check(self) -> Result<RetryThrottling, InvalidServiceConfig> {
        let max_tokens = self.max_tokens.0;
        if max_tokens > 1000.0 {
            let place = "retryThrottling.maxTokens".to_owned();
            return Err(invalid(place, format!("is {max_tokens}: more than 0 and at most 1000 is allowed")));
        }
        // gRFC A6: three decimals count.
        Ok(RetryThrottling { max_tokens, token_ratio: (self.token_ratio.0 * 1000.0).trunc() / 1000.0 })
    }
}

// === impl Attempts, JsonDuration, Positive, Ratio, Codes ===

impl<'de> Deserialize<'de> for Attempts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            given @ 0..=1 => Err(D::Error::custom(format!("is {given}: 2 or more are allowed"))),
            given => Ok(Self(given.min(MAX_ATTEMPTS))),
        }
    }
}

impl<'de> Deserialize<'de> for JsonDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            || D::Error::custom(format!("is {:?}: seconds with an s are allowed, such as \"1.5s\"", excerpt(&text)));
        let seconds = text.strip_suffix('s').ok_or_else(wrong)?;
        let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, "0"));
        let digits = |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole, 12) || !digits(decimals, 9) {
            return Err(wrong());
        }
        let (whole, nanos) =
            (whole.parse().map_err(|_| wrong())?, format!("{decimals:0<9}").parse().map_err(|_| wrong())?);
        Ok(Self(Duration::new(whole, nanos)))
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let JsonDuration(duration) = JsonDuration::deserialize(deserializer)?;
        if duration.is_zero() {
            Err(D::Error::custom("is 0: more is allowed, such as \"0.1s\""))
        } else {
            Ok(Self(duration))
        }
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if number > 0.0 {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format!("is {number}: more than 0 is allowed")))
        }
    }
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let codes = Vec::<serde_json::Value>::deserialize(deserializer)?;
        let code = |value: &serde_json::Value| {
            let number = match value {
                serde_json::Value::String(name) => CODES.iter().position(|code| code.eq_ignore_ascii_case(name)),
                serde_json::Value::Number(number) => {
                    number.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|code| *code < CODES.len())
                }
                _ => None,
            };
            let wrong = || {
                D::Error::custom(format!(
                    "{} is no status code: {} or their numbers are",
                    excerpt(&value.to_string()),
                    CODES.join(", ")
                ))
            };
            number.and_then(|number| i32::try_from(number).ok()).map(Code::from_i32).ok_or_else(wrong)
        };
        Ok(Self(codes.iter().map(code).collect::<Result<CodeSet, _>>()?))
    }
}
