//! The value of `--delay`: how long backends take to reply to this request.

use std::str::FromStr;

use fault_injection::Distribution;

use crate::gateway_client::baggage::BaggageEntry;

/// The name that stands for every backend in the key of an override.
const EVERY_BACKEND: &str = "*";

/// The longest part of an invalid value that an error repeats, in characters.
const MAX_EXCERPT: usize = 64;

/// The delays that one `--delay` asks for: of all backends (`500ms`), of single ones (`user=500ms,country=1s`), or both.
///
/// Commas separate the delays, and are part of some: `user=p50=20ms,p99=200ms,country=1s` is two delays.
#[derive(Clone, Debug, PartialEq)]
pub struct DelayOverrides(Vec<DelayOverride>);

/// A delay of one backend, or of all.
#[derive(Clone, Debug, PartialEq)]
struct DelayOverride {
    /// The backend's name, or [`EVERY_BACKEND`].
    backend: String,
    delay: Distribution,
}

// === impl DelayOverrides ===

impl DelayOverrides {
    /// Returns the baggage entries for them, such as `user.delay=500ms`.
    pub(crate) fn entries(&self) -> impl Iterator<Item = BaggageEntry> {
        self.0.iter().map(DelayOverride::entry)
    }
}

impl FromStr for DelayOverrides {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The texts of the delays, each with its backend.
        let mut delays: Vec<(String, String)> = Vec::new();
        for part in text.split(',') {
            match (part.split_once('='), delays.last_mut()) {
                (Some((name, _)), Some((_, delay))) if is_percentile(name) => {
                    *delay = format!("{delay},{part}");
                }
                (Some((name, delay)), _) if !is_percentile(name) => {
                    delays.push((name.trim().to_owned(), delay.to_owned()));
                }
                _ => delays.push((EVERY_BACKEND.to_owned(), part.to_owned())),
            }
        }
        delays
            .into_iter()
            .map(|(backend, delay)| DelayOverride::new(backend, &delay))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Returns the part of an invalid value that an error repeats.
fn excerpt(text: &str) -> String {
    text.chars().take(MAX_EXCERPT).flat_map(char::escape_debug).collect()
}

/// Returns whether the name before an equals sign belongs to a delay, not to a backend.
fn is_percentile(name: &str) -> bool {
    matches!(name.trim(), "p50" | "p99")
}

// === impl DelayOverride ===

impl DelayOverride {
    fn new(backend: String, delay: &str) -> Result<Self, String> {
        // With a dot it would be the key of another system, and change nothing.
        if !BaggageEntry::is_key(&backend) || backend.contains('.') {
            let backend = excerpt(&backend);
            return Err(format!(
                "'{backend}' is not a backend's name: expected a delay such as 500ms, or user=500ms,country=1s"
            ));
        }
        let delay = delay.trim();
        let explain = |error| format!("'{}': {error}, and for single backends user=500ms,country=1s", excerpt(delay));
        let delay = delay.parse::<Distribution>().map_err(explain)?;
        Ok(Self { backend, delay })
    }

    fn entry(&self) -> BaggageEntry {
        BaggageEntry::new(format!("{}.delay", self.backend), self.delay.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<Vec<String>, String> {
        let delays = text.parse::<DelayOverrides>()?;
        Ok(delays.0.iter().map(|each| format!("{}:{}", each.backend, each.delay)).collect())
    }

    #[test]
    fn a_delay_is_of_all_backends_or_of_one() {
        for (text, expected) in [
            ("500ms", &["*:500ms"][..]),
            ("0", &["*:0"]),
            ("300ms+-30ms", &["*:300ms±30ms"]),
            ("p50=20ms,p99=200ms", &["*:p50=20ms,p99=200ms"]),
            ("user=500ms", &["user:500ms"]),
            ("user=500ms, country = 1s", &["user:500ms", "country:1s"]),
            ("500ms,country=1s", &["*:500ms", "country:1s"]),
            ("user=1s,500ms", &["user:1s", "*:500ms"]),
            ("*=1s", &["*:1s"]),
        ] {
            assert_eq!(entries(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn the_commas_and_equals_signs_of_a_distribution_belong_to_it() {
        for (text, expected) in [
            ("user=p50=20ms,p99=200ms,country=1s", &["user:p50=20ms,p99=200ms", "country:1s"][..]),
            ("country=1s,user=p99=200ms,p50=20ms", &["country:1s", "user:p50=20ms,p99=200ms"]),
            ("p50=20ms,p99=200ms,user=0", &["*:p50=20ms,p99=200ms", "user:0"]),
            ("user=300ms±30ms,country=p50=1ms,p99=2ms", &["user:300ms±30ms", "country:p50=1ms,p99=2ms"]),
        ] {
            assert_eq!(entries(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_error_names_the_part_that_is_wrong_and_what_is_allowed_once() {
        for (text, wrong) in [
            ("soon", "'soon': it is no time: expected 0"),
            ("user", "'user': it is no time: expected 0"),
            ("user=soon,country=1s", "'soon': it is no time"),
            ("user=", "'': it is no time"),
            ("", "'': it is no time"),
            ("user=1s,", "'': it is no time"),
            ("user=1s±1s±1s", "'1s±1s±1s': "),
            ("user=1s,p99=2s", "'1s,p99=2s': a percentile needs a value"),
            ("user=p50=20ms,country=1s", "'p50=20ms': both p50 and p99 are needed"),
        ] {
            let error = entries(text).unwrap_err();
            assert!(error.starts_with(wrong), "{error}");
            assert_eq!((error.matches("expected").count(), error.matches("user=500ms").count()), (1, 1), "{error}");
        }
        for text in ["=1s", "us er=1s", "user.delay=1s"] {
            assert!(entries(text).unwrap_err().contains("is not a backend's name: expected a delay such as 500ms"));
        }
    }
}
