//! W3C Baggage, and how much of it a process passes on.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header::HeaderName};

/// The W3C Baggage header.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// How much of an invalid key an error repeats, in characters.
const SHOWN_CHARS: usize = 64;

/// W3C Baggage, unparsed: entries that this process cannot read still reach the process they are meant for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Baggage(Vec<HeaderValue>);

/// The keys of baggage that a process passes on: `*` for all, `none`, or a list such as `tenant,session.*`.
///
/// One `*` in a key stands for any text. Upper and lower case differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageKeys(Vec<KeyPattern>);

/// A key, or what a key begins and ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyPattern {
    Exact(String),
    Around { start: String, end: String },
}

/// The error for baggage that is longer than [`Baggage::MAX_LEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are too long; at most {max} are allowed", max = Baggage::MAX_LEN)]
pub struct BaggageTooLong(pub usize);

/// The error for a text that is not [`BaggageKeys`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no key of baggage: expected *, none, or keys separated by commas, with at most one * in each")]
pub struct InvalidBaggageKeys(String);

// === impl Baggage ===

impl Baggage {
    /// The longest baggage that every process has to pass on, in bytes of all its headers together.
    pub const MAX_LEN: usize = 8192;

    /// Takes the baggage from the headers of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        Self(headers.get_all(BAGGAGE).iter().cloned().collect())
    }

    /// Takes the baggage from the headers of a request, and leaves none there.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let baggage = Self::of(headers);
        if !baggage.is_empty() {
            headers.remove(BAGGAGE);
        }
        baggage
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether it has an entry with one of these keys.
    pub fn has_any(&self, keys: &BaggageKeys) -> bool {
        let mut entries = self.0.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
        entries.any(|entry| keys.allows(key(entry)))
    }

    /// Checks that the baggage is not longer than [`MAX_LEN`](Self::MAX_LEN).
    ///
    /// # Errors
    ///
    /// Returns its length if it is longer.
    pub fn check_len(&self) -> Result<(), BaggageTooLong> {
        let length = self.0.iter().map(HeaderValue::len).sum();
        if length > Self::MAX_LEN { Err(BaggageTooLong(length)) } else { Ok(()) }
    }

    /// Removes the entries with other keys than these. The others stay as they are, byte by byte.
    pub fn retain(&mut self, keys: &BaggageKeys) {
        if !keys.allow_all() {
            self.0 = self.0.iter().filter_map(|list| keys.filter(list)).collect();
        }
    }

    /// Adds the header, one line for each that was received.
    pub(crate) fn insert_into(&self, headers: &mut HeaderMap) {
        for value in &self.0 {
            headers.append(BAGGAGE, value.clone());
        }
    }
}

// === impl BaggageKeys ===

impl BaggageKeys {
    /// Adds these keys.
    #[must_use]
    pub fn and(mut self, keys: Self) -> Self {
        self.0.extend(keys.0);
        self
    }

    /// Returns the entries of a header whose keys are allowed, or `None` if none is.
    fn filter(&self, list: &HeaderValue) -> Option<HeaderValue> {
        let entries = list.as_bytes().split(|byte| *byte == b',');
        let allowed: Vec<_> = entries.filter(|entry| self.allows(key(entry))).collect();
        // Any part of a valid value is valid.
        if allowed.is_empty() { None } else { HeaderValue::from_bytes(&allowed.join(&b',')).ok() }
    }

    fn allows(&self, key: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.matches(key))
    }

    fn allow_all(&self) -> bool {
        self.0.iter().any(|pattern| *pattern == KeyPattern::Around { start: String::new(), end: String::new() })
    }
}

impl FromStr for BaggageKeys {
    type Err = InvalidBaggageKeys;

    fn from_str(text: &str) -> Result<Self, InvalidBaggageKeys> {
        if text.trim() == "none" {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(|key| KeyPattern::parse(key.trim())).collect::<Result<_, _>>().map(Self)
    }
}

/// Returns the key of an entry `key=value;property`.
fn key(entry: &[u8]) -> &[u8] {
    let end = entry.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(entry.len());
    entry[..end].trim_ascii()
}

// === impl KeyPattern ===

impl KeyPattern {
    fn parse(text: &str) -> Result<Self, InvalidBaggageKeys> {
        // A key is a token of HTTP, as the name of a header is.
        let is_token = |part: &str| part.is_empty() || HeaderName::from_bytes(part.as_bytes()).is_ok();
        match text.split_once('*') {
            Some((start, end)) if is_token(start) && is_token(end) && !end.contains('*') => {
                Ok(Self::Around { start: start.to_owned(), end: end.to_owned() })
            }
            None if !text.is_empty() && is_token(text) => Ok(Self::Exact(text.to_owned())),
            Some(_) | None => Err(InvalidBaggageKeys(text.chars().take(SHOWN_CHARS).collect())),
        }
    }

    fn matches(&self, key: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => key == exact.as_bytes(),
            Self::Around { start, end } => {
                key.len() >= start.len() + end.len()
                    && key.starts_with(start.as_bytes())
                    && key.ends_with(end.as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn baggage(headers: &[&[u8]]) -> Baggage {
        Baggage(headers.iter().map(|header| HeaderValue::from_bytes(header).unwrap()).collect())
    }

    fn retained<'a>(headers: &'a [&'a [u8]], keys: &str) -> Baggage {
        let mut baggage = baggage(headers);
        baggage.retain(&keys.parse().unwrap());
        baggage
    }

    #[test]
    fn entries_with_allowed_keys_stay_as_they_are() {
        let given: &[&[u8]] = &[b"tenant=7;p=1, session.id = a%2Cb ,,user.delay=1s", b"secret=\xff"];
        assert_eq!(retained(given, "*"), baggage(given));
        assert_eq!(retained(given, "tenant"), baggage(&[b"tenant=7;p=1"]));
        assert_eq!(retained(given, "session.*,tenant"), baggage(&[b"tenant=7;p=1, session.id = a%2Cb "]));
        assert_eq!(retained(given, "*.delay, secret"), baggage(&[b"user.delay=1s", b"secret=\xff"]));
        for nothing in ["none", "ten", "tenant7", "Tenant", "session", "tenant*x"] {
            assert!(retained(given, nothing).is_empty(), "{nothing}");
            assert!(!baggage(given).has_any(&nothing.parse().unwrap()), "{nothing}");
        }
        assert!(baggage(given).has_any(&"*.delay".parse().unwrap()));
        assert_eq!(retained(&[b"*.delay=1s"], "*.delay"), baggage(&[b"*.delay=1s"]));
        let both = "none".parse::<BaggageKeys>().unwrap().and("secret".parse().unwrap());
        assert!(both.allows(b"secret") && !both.allows(b"tenant"));
    }

    #[test]
    fn all_its_headers_together_have_a_limit() {
        let most = [b'a'; Baggage::MAX_LEN];
        assert_eq!(baggage(&[&most]).check_len(), Ok(()));
        let error = baggage(&[&most, b"b"]).check_len().unwrap_err();
        assert_eq!(error.to_string(), "8193 bytes are too long; at most 8192 are allowed");
    }

    #[test]
    fn what_is_no_key_is_named() {
        for (wrong, named) in [("a,,b", ""), ("", ""), ("a b", "a b"), ("a=1", "a=1"), ("x,*a*", "*a*"), ("ä", "ä")] {
            let error = wrong.parse::<BaggageKeys>().unwrap_err();
            assert_eq!(error, InvalidBaggageKeys(named.to_owned()), "{wrong}");
            assert!(error.to_string().contains("expected *, none, or keys"), "{error}");
        }
        let error = "=".repeat(10_000).parse::<BaggageKeys>().unwrap_err().to_string();
        assert!(error.len() < 200, "{error}");
    }

    proptest! {
        #[test]
        fn what_is_retained_is_a_part_of_what_was_given(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(header) = HeaderValue::from_bytes(&bytes) {
                let mut baggage = Baggage(vec![header]);
                baggage.retain(&"a*,*b".parse().unwrap());
                prop_assert!(baggage.0.iter().all(|value| value.len() <= bytes.len() && !value.is_empty()));
            }
        }
    }
}
