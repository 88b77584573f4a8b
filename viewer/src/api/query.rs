//! The parameters of a request.

use std::{fmt::Display, str::FromStr, time::Duration};

use url::form_urlencoded;

use crate::api::respond::ApiError;

/// The parameters of a request, each at most once. An empty one is as good as none.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

// === impl Query ===

impl Query {
    pub(super) fn new(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().filter(|(_, value)| !value.is_empty()).collect())
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    pub(super) fn duration(&self, name: &'static str) -> Result<Option<Duration>, ApiError> {
        self.read(name, |text| humantime::parse_duration(text).ok(), "a duration such as 100ms")
    }

    pub(super) fn bool(&self, name: &'static str) -> Result<Option<bool>, ApiError> {
        self.read(name, |text| text.parse().ok(), "true or false")
    }

    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &'static str,
        allowed: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, ApiError> {
        let expected = format!("a number from {} to {}", allowed.start(), allowed.end());
        self.read(name, |text| text.parse().ok().filter(|number| allowed.contains(number)), &expected)
    }

    fn read<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::field(name, format!("invalid value '{text}' for '{name}': expected {expected}"))),
        }
    }
}
