//! W3C Baggage: properties of a request that flow through the gateway to its services.
//!
//! Source: <https://www.w3.org/TR/baggage/>.

use std::{fmt::Write as _, str::FromStr};

use tonic::metadata::{Ascii, MetadataValue};

/// One `key=value` of a baggage header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageEntry {
    key: String,
    /// As meant, not as encoded.
    value: String,
}

/// The delay that one service shall answer after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayOverride {
    service: String,
    /// As written: the service reads it itself, and this program has only made sure that it can.
    delay: String,
}

/// The header's value, or none without entries.
pub(crate) fn header(entries: &[BaggageEntry]) -> Option<MetadataValue<Ascii>> {
    let list: Vec<String> = entries.iter().map(BaggageEntry::encoded).collect();
    (!list.is_empty()).then(|| list.join(",").parse().expect("keys are tokens, values are percent-encoded"))
}

// === impl BaggageEntry ===

impl BaggageEntry {
    fn encoded(&self) -> String {
        let mut text = format!("{}=", self.key);
        for byte in self.value.bytes() {
            if is_baggage_octet(byte) {
                text.push(char::from(byte));
            } else {
                write!(text, "%{byte:02X}").expect("a string takes all that is written");
            }
        }
        text
    }
}

impl FromStr for BaggageEntry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
            Some((key, value)) if is_token(key) => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("KEY=VALUE is wanted, such as user.delay=500ms".to_owned()),
        }
    }
}

// === impl DelayOverride ===

impl DelayOverride {
    /// The entry that carries it: `user.delay=500ms`.
    pub fn entry(&self) -> BaggageEntry {
        BaggageEntry { key: format!("{}.delay", self.service), value: self.delay.clone() }
    }
}

impl FromStr for DelayOverride {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "SERVICE=TIME is wanted, such as user=500ms or user=300ms±30ms (for p50=…,p99=… use --baggage)";
        let (service, delay) = text.split_once('=').ok_or(FORM)?;
        let (service, delay) = (service.trim(), delay.trim());
        let is_time = |time: &str| time == "0" || humantime::parse_duration(time).is_ok();
        let mut parts = delay.split('±');
        let readable = parts.by_ref().take(2).all(is_time) && parts.next().is_none();
        if is_token(service) && readable {
            Ok(Self { service: service.to_owned(), delay: delay.to_owned() })
        } else {
            Err(FORM.to_owned())
        }
    }
}

/// Whether it is a token of HTTP, as keys have to be.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether it may stand in a value as it is. A percent sign may not: it starts what is encoded.
fn is_baggage_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte)
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
    fn what_is_wrong_is_said_with_an_example() {
        for wrong in ["user", "user=", "user=soon", "=1s", "us er=1s", "user=1s±1s±1s"] {
            assert!(wrong.parse::<DelayOverride>().unwrap_err().contains("user=500ms"), "{wrong}");
        }
        for wrong in ["key", "=value", "k y=v", "k,y=v"] {
            assert!(wrong.parse::<BaggageEntry>().unwrap_err().contains("KEY=VALUE"), "{wrong}");
        }
    }
}
