//! W3C Baggage: properties of a request that the gateway passes on to the backends.
//!
//! Source: <https://www.w3.org/TR/baggage/>.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tonic::metadata::{Ascii, MetadataValue};

/// The characters that are percent-encoded in a value. The percent sign is one, because it starts an encoded one.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// A `key=value` of a baggage header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageEntry {
    key: String,
    /// Not encoded.
    value: String,
}

/// Returns the header's value, or `None` if there are no entries.
pub(crate) fn header(entries: &[BaggageEntry]) -> Option<MetadataValue<Ascii>> {
    let list: Vec<String> = entries.iter().map(BaggageEntry::encoded).collect();
    (!list.is_empty()).then(|| list.join(",").parse().expect("keys are tokens, values are percent-encoded"))
}

// === impl BaggageEntry ===

impl BaggageEntry {
    /// Creates an entry. The key is an HTTP token: see [`is_key`](Self::is_key).
    pub(crate) fn new(key: String, value: String) -> Self {
        Self { key, value }
    }

    /// Returns whether the text can be a key.
    pub(crate) fn is_key(text: &str) -> bool {
        is_token(text)
    }

    /// Returns the entry as the header contains it.
    pub(crate) fn encoded(&self) -> String {
        format!("{}={}", self.key, utf8_percent_encode(&self.value, ENCODED))
    }
}

/// As `--baggage` takes it, not encoded.
impl fmt::Display for BaggageEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl FromStr for BaggageEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if is_token(key) => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("expected KEY=VALUE, such as user.delay=500ms".to_owned()),
        }
    }
}

/// Returns whether the text is an HTTP token, as keys must be.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway_client::delay::DelayOverrides;

    fn header_of(entries: &[&str]) -> String {
        let entries: Vec<_> = entries.iter().map(|entry| entry.parse().unwrap()).collect();
        header(&entries).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn entries_are_joined_and_encoded() {
        assert_eq!(header_of(&["user.delay=500ms", "a= b "]), "user.delay=500ms,a=b");
        assert_eq!(header_of(&["user.delay=p50=20ms,p99=200ms"]), "user.delay=p50=20ms%2Cp99=200ms");
        assert_eq!(header_of(&["k=100%;\"\\ é"]), "k=100%25%3B%22%5C%20%C3%A9");
        assert_eq!(header(&[]), None);
    }

    #[test]
    fn delays_are_entries() {
        let delays: DelayOverrides = "500ms,user=300ms±30ms,country=p50=20ms,p99=200ms".parse().unwrap();
        let entries: Vec<_> = delays.entries().map(|entry| entry.encoded()).collect();
        let expected = ["*.delay=500ms", "user.delay=300ms%C2%B130ms", "country.delay=p50=20ms%2Cp99=200ms"];
        assert_eq!(entries, expected);
    }

    #[test]
    fn errors_contain_an_example() {
        for wrong in ["key", "=value", "k y=v", "k,y=v"] {
            assert!(wrong.parse::<BaggageEntry>().unwrap_err().contains("KEY=VALUE"), "{wrong}");
        }
    }
}
