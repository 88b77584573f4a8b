//! What a request changes of a service's settings.

use http::HeaderMap;

use crate::{
    baggage::{EVERY_SERVICE, InvalidBaggage, Override, Setting, overrides},
    distribution::Distribution,
    error_rate::ErrorRate,
};

/// The settings that a request changes for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Overrides {
    pub(super) delay: Option<Distribution>,
    pub(super) error_rate: Option<ErrorRate>,
}

// === impl Overrides ===

impl Overrides {
    /// Reads `<service>.delay` and `<service>.error-rate`, and `*` in place of the service's name for every service.
    /// Ignores all other keys. The service's own name takes precedence; the last of several equal keys applies.
    pub(super) fn from_headers(headers: &HeaderMap, service: &str) -> Result<Self, InvalidBaggage> {
        let (mut own, mut general) = (Self::default(), Self::default());
        overrides(headers, |entry| match entry.service {
            name if name == service => own.apply(entry),
            EVERY_SERVICE => general.apply(entry),
            _ => Ok(()),
        })?;
        Ok(Self { delay: own.delay.or(general.delay), error_rate: own.error_rate.or(general.error_rate) })
    }

    fn apply(&mut self, entry: Override<'_>) -> Result<(), InvalidBaggage> {
        match entry.setting {
            Setting::Delay => self.delay = Some(entry.parse()?),
            Setting::ErrorRate => self.error_rate = Some(entry.parse()?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::baggage::MAX_BYTES;

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
    fn a_star_is_every_service_and_the_own_name_takes_precedence() {
        for text in
            ["*.delay=500ms", "*.delay=1s,user.delay=500ms", "user.delay=500ms,*.delay=1s", "*.delay=1s,*.delay=500ms"]
        {
            assert_eq!(read(&[text.as_bytes()]), Ok(delay("500ms")), "{text}");
        }
        let both = Overrides { error_rate: Some("1".parse().unwrap()), ..delay("500ms") };
        assert_eq!(read(&[b"*.error-rate=1,user.delay=500ms"]), Ok(both));
        assert!(read(&[b"*.delay=soon"]).is_err());
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
        let error = |headers: &[&[u8]]| read(headers).unwrap_err().to_string();
        assert_eq!(error(&[&long, b"b"]), "baggage: 8193 bytes are too long; at most 8192 are allowed");
        assert!(error(&[b"user.delay=\xff"]).starts_with("baggage: not UTF-8"));
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
