//! What a request changes of the settings, through [W3C baggage](https://www.w3.org/TR/baggage/).
//!
//! Parsed here and not by OpenTelemetry's propagator, which drops invalid entries silently: a caller that sets an
//! invalid delay gets an error.

use std::{borrow::Cow, str::FromStr};

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{distribution::Distribution, error_rate::ErrorRate, excerpt::excerpt};

/// The longest baggage that is accepted, all its headers together: the limit that the specification guarantees.
const MAX_BYTES: usize = 8192;

/// The settings that a request changes for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Overrides {
    pub(super) delay: Option<Distribution>,
    pub(super) error_rate: Option<ErrorRate>,
}

/// The error for baggage that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidBaggage {
    #[error("the header baggage is {0} bytes long; at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    #[error("the header baggage is not UTF-8; expected ASCII, with everything else percent-encoded")]
    NotUtf8,
    #[error(
        "baggage: {key} is {given:?}: {reason}, with a comma, a semicolon or a percent sign written %2C, %3B or %25"
    )]
    Value { key: String, given: String, reason: String },
}

// === impl Overrides ===

impl Overrides {
    /// Reads `<service>.delay` and `<service>.error-rate`, and ignores all other keys. The last of several equal keys
    /// applies.
    pub(super) fn from_headers(headers: &HeaderMap, service: &str) -> Result<Self, InvalidBaggage> {
        let mut overrides = Self::default();
        let mut length = 0;
        for header in headers.get_all("baggage") {
            length += header.len();
            if length > MAX_BYTES {
                return Err(InvalidBaggage::TooLong(length));
            }
            let list = std::str::from_utf8(header.as_bytes()).map_err(|_| InvalidBaggage::NotUtf8)?;
            for member in list.split(',') {
                overrides.read(member, service)?;
            }
        }
        Ok(overrides)
    }

    /// Reads one member of the list: `key=value;property;…`.
    fn read(&mut self, member: &str, service: &str) -> Result<(), InvalidBaggage> {
        let entry = member.split_once(';').map_or(member, |(entry, _properties)| entry);
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        let key = key.trim();
        match key.strip_prefix(service).and_then(|rest| rest.strip_prefix('.')) {
            Some("delay") => self.delay = Some(parse(key, value)?),
            Some("error-rate") => self.error_rate = Some(parse(key, value)?),
            Some(_) | None => {}
        }
        Ok(())
    }
}

fn parse<T: FromStr<Err: ToString>>(key: &str, value: &str) -> Result<T, InvalidBaggage> {
    let invalid = |given, reason| InvalidBaggage::Value { key: key.to_owned(), given: excerpt(given), reason };
    let decoded: Cow<'_, str> = percent_decode_str(value.trim())
        .decode_utf8()
        .map_err(|_| invalid(value, "not UTF-8 when decoded: expected text".to_owned()))?;
    decoded.parse().map_err(|error: T::Err| invalid(&decoded, error.to_string()))
}

// === impl InvalidBaggage ===

impl From<InvalidBaggage> for Status {
    fn from(invalid: InvalidBaggage) -> Self {
        let field = match &invalid {
            InvalidBaggage::TooLong(_) | InvalidBaggage::NotUtf8 => "baggage".to_owned(),
            InvalidBaggage::Value { key, .. } => format!("baggage: {key}"),
        };
        let message = invalid.to_string();
        let details = ErrorDetails::with_bad_request_violation(field, &message);
        Status::with_error_details(Code::InvalidArgument, message, details)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[&[u8]]) -> Result<Overrides, InvalidBaggage> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append("baggage", HeaderValue::from_bytes(header).unwrap());
        }
        Overrides::from_headers(&map, "user")
    }

    fn delay(text: &str) -> Overrides {
        Overrides { delay: Some(text.parse().unwrap()), error_rate: None }
    }

    #[test]
    fn reads_its_own_keys_only() {
        assert_eq!(read(&[]), Ok(Overrides::default()));
        for other in ["", ",,", "country.delay=1s", "users.delay=x", "user=delay", "user.id=7", "USER.DELAY=x", ";=,=;"]
        {
            assert_eq!(read(&[other.as_bytes()]), Ok(Overrides::default()), "{other}");
        }
        let both = Overrides { error_rate: Some("0.5".parse().unwrap()), ..delay("500ms") };
        assert_eq!(read(&[b"a=b,user.delay=500ms,country.delay=1s,user.error-rate=0.5"]), Ok(both));
        assert_eq!(read(&[b"user.delay=500ms", b"user.error-rate=50%25"]), Ok(both), "several headers");
    }

    #[test]
    fn follows_the_list_syntax() {
        for text in [
            " user.delay = 1s ; unit=s ; note ",
            "user.delay=1%73",
            "\tuser.delay=%201s",
            "user.delay=9s,user.delay=1s",
        ] {
            assert_eq!(read(&[text.as_bytes()]), Ok(delay("1s")), "{text}");
        }
        for text in ["user.delay=p50%3D20ms%2Cp99%3D200ms", "user.delay=p50=20ms%2Cp99=200ms"] {
            assert_eq!(read(&[text.as_bytes()]), Ok(delay("p50=20ms,p99=200ms")), "{text}");
        }
        for text in ["user.delay=300ms%C2%B130ms", "user.delay=300ms±30ms", "user.delay=300ms+-30ms"] {
            assert_eq!(read(&[text.as_bytes()]), Ok(delay("300ms±30ms")), "{text}");
        }
    }

    #[test]
    fn a_bad_value_names_key_value_and_what_is_allowed() {
        for (text, field, parts) in [
            ("user.delay=soon", "baggage: user.delay", ["\"soon\"", "300ms"]),
            ("user.delay=61s", "baggage: user.delay", ["\"61s\"", "60s"]),
            ("user.delay", "baggage: user.delay", ["\"\"", "300ms"]),
            ("user.delay=p50=20ms,p99=200ms", "baggage: user.delay", ["\"p50=20ms\"", "%2C"]),
            ("user.delay=%ff", "baggage: user.delay", ["\"%ff\"", "expected"]),
            ("user.error-rate=2", "baggage: user.error-rate", ["\"2\"", "0 to 1"]),
        ] {
            let status = Status::from(read(&[text.as_bytes()]).expect_err(text));
            assert_eq!(status.code(), Code::InvalidArgument);
            let violation = &status.get_details_bad_request().unwrap().field_violations[0];
            assert_eq!(violation.field, field);
            assert!(parts.iter().all(|part| violation.description.contains(part)), "{}", violation.description);
        }
    }

    #[test]
    fn a_header_out_of_bounds_is_rejected() {
        let long = [b'a'; MAX_BYTES];
        assert_eq!(read(&[&long]), Ok(Overrides::default()));
        assert_eq!(read(&[&long, b"b"]), Err(InvalidBaggage::TooLong(MAX_BYTES + 1)));
        assert_eq!(read(&[b"user.delay=\xff"]), Err(InvalidBaggage::NotUtf8));
        let value = [b"user.delay=".as_slice(), &[b'9'; 8000]].concat();
        assert!(read(&[&value]).expect_err("no unit").to_string().len() < 600, "the excerpt is bounded");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), own in any::<bool>()) {
            let bytes = if own { [b"user.delay=".as_slice(), &bytes].concat() } else { bytes };
            if let Ok(header) = HeaderValue::from_bytes(&bytes) {
                let _ = Overrides::from_headers(&HeaderMap::from_iter([(http::HeaderName::from_static("baggage"), header)]), "user");
            }
        }
    }
}
