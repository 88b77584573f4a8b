//! W3C Baggage: properties of a request that the gateway passes on to the backends.
//!
//! Source: <https://www.w3.org/TR/baggage/>.

use std::str::FromStr;

use fault_injection::Distribution;
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

/// A delay to ask of one backend.
#[derive(Clone, Debug, PartialEq)]
pub struct DelayOverride {
    service: String,
    delay: Distribution,
}

/// Returns the header's value, or `None` if there are no entries.
pub(crate) fn header(entries: &[BaggageEntry]) -> Option<MetadataValue<Ascii>> {
    let list: Vec<String> = entries.iter().map(BaggageEntry::encoded).collect();
    (!list.is_empty()).then(|| list.join(",").parse().expect("keys are tokens, values are percent-encoded"))
}

// === impl BaggageEntry ===

impl BaggageEntry {
    fn encoded(&self) -> String {
        format!("{}={}", self.key, utf8_percent_encode(&self.value, ENCODED))
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

// === impl DelayOverride ===

impl DelayOverride {
    /// Returns the baggage entry for it, such as `user.delay=500ms`.
    pub fn entry(&self) -> BaggageEntry {
        BaggageEntry { key: format!("{}.delay", self.service), value: self.delay.to_string() }
    }
}

impl FromStr for DelayOverride {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let explain = |wrong: &str| format!("{wrong}: expected SERVICE=DELAY, such as user=500ms or user=300ms±30ms");
        let (service, delay) = text.split_once('=').ok_or_else(|| explain("there is no ="))?;
        let service = service.trim();
        if !is_token(service) {
            return Err(explain("there is no service"));
        }
        let delay = delay.trim().parse::<Distribution>().map_err(|error| explain(&error.to_string()))?;
        Ok(Self { service: service.to_owned(), delay })
    }
}

/// Returns whether the text is an HTTP token, as keys must be.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_delay_is_an_entry() {
        let delay: DelayOverride = "user=300ms±30ms".parse().unwrap();
        assert_eq!(delay.entry().encoded(), "user.delay=300ms%C2%B130ms");
        assert_eq!("country=0".parse::<DelayOverride>().unwrap().entry().encoded(), "country.delay=0");
    }

    #[test]
    fn errors_contain_an_example() {
        for wrong in ["user", "user=", "user=soon", "=1s", "us er=1s", "user=1s±1s±1s"] {
            assert!(wrong.parse::<DelayOverride>().unwrap_err().contains("user=500ms"), "{wrong}");
        }
        for wrong in ["key", "=value", "k y=v", "k,y=v"] {
            assert!(wrong.parse::<BaggageEntry>().unwrap_err().contains("KEY=VALUE"), "{wrong}");
        }
    }
}
