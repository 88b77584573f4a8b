//! Checks the overrides of a request before it reaches the services that they are for.

use http::HeaderMap;

use crate::{
    baggage::{EVERY_SERVICE, InvalidBaggage, Override, Setting, overrides},
    distribution::Distribution,
    error_rate::ErrorRate,
    excerpt::excerpt,
};

/// The keys of all overrides in the form of [`BaggageKeys`](rpc_layers::BaggageKeys), for a gateway that passes on only some
/// of the baggage.
pub const OVERRIDE_KEYS: &str = "*.delay,*.error-rate";

/// The least similarity (Jaro) of a name that is suggested in place of an unknown one.
const SIMILAR: f64 = 0.7;

/// Checks that every override in a request's W3C baggage names one of these services, or `*`, and has a valid value.
///
/// For a gateway: a service ignores the overrides of others, so that a misspelt name would have no effect at all. Keys
/// that do not have the form of an override (`NAME.delay` or `NAME.error-rate`, without another dot) belong to other
/// systems and are ignored. Free if the request has no baggage.
///
/// # Errors
///
/// Returns an error for the first override that no service would apply.
///
/// ```
/// let mut headers = http::HeaderMap::new();
/// headers.insert("baggage", "usr.delay=1s,tenant=7".parse().unwrap());
/// let error = fault_injection::check_overrides(&headers, &["user", "country"]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "baggage: usr.delay: no service is named \"usr\" (did you mean \"user\"?); expected user, country, or * for all"
/// );
/// ```
pub fn check_overrides(headers: &HeaderMap, services: &[&str]) -> Result<(), InvalidBaggage> {
    overrides(headers, |entry| {
        if entry.service != EVERY_SERVICE && !services.contains(&entry.service) {
            return Err(entry.unknown_service(unknown(&entry, services)));
        }
        match entry.setting {
            Setting::Delay => entry.parse::<Distribution>().map(drop),
            Setting::ErrorRate => entry.parse::<ErrorRate>().map(drop),
        }
    })
}

fn unknown(entry: &Override<'_>, services: &[&str]) -> String {
    let given = entry.service;
    let similarities = services.iter().map(|name| (strsim::jaro(given, name), name));
    let nearest = similarities.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let suggestion = match nearest {
        Some((similarity, name)) if similarity > SIMILAR => format!(" (did you mean {name:?}?)"),
        Some(_) | None => String::new(),
    };
    let given = excerpt(given);
    format!("no service is named {given:?}{suggestion}; expected {}, or {EVERY_SERVICE} for all", services.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;

    fn check(baggage: &[u8]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert("baggage", http::HeaderValue::from_bytes(baggage).unwrap());
        check_overrides(&headers, &["user", "country"]).map_err(|error| error.to_string())
    }

    #[test]
    fn overrides_of_known_services_and_foreign_keys_are_accepted() {
        assert_eq!(check_overrides(&HeaderMap::new(), &["user"]), Ok(()));
        for accepted in [
            "user.delay=1s,country.error-rate=50%25",
            "*.delay=0,*.error-rate=1",
            "tenant=7,user.id=ada,usr=1,queue.retry.delay=soon,.delay=soon,delay=soon,Usr.Delay=soon",
            "",
        ] {
            assert_eq!(check(accepted.as_bytes()), Ok(()), "{accepted}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_there_are_and_the_nearest() {
        let expected = "expected user, country, or * for all";
        for (given, message) in [
            (
                "usr.delay=1s",
                format!("baggage: usr.delay: no service is named \"usr\" (did you mean \"user\"?); {expected}"),
            ),
            (
                "a=b, contry.error-rate = 1",
                format!(
                    "baggage: contry.error-rate: no service is named \"contry\" (did you mean \"country\"?); {expected}"
                ),
            ),
            ("weather.delay=1s", format!("baggage: weather.delay: no service is named \"weather\"; {expected}")),
        ] {
            assert_eq!(check(given.as_bytes()), Err(message));
        }
    }

    #[test]
    fn hidden_characters_of_a_key_are_written_out() {
        let error = check("us\u{202e}er.delay=1s".as_bytes()).unwrap_err();
        assert!(error.starts_with(r"baggage: us\u{202e}er.delay: no service"), "{error}");
    }

    #[test]
    fn a_bad_value_is_an_error_before_any_service_reads_it() {
        let wrong = check(b"user.delay=soon").unwrap_err();
        assert!(wrong.starts_with("baggage: user.delay: \"soon\": it is no time: expected 0"), "{wrong}");
        assert!(check(b"*.error-rate=2").unwrap_err().starts_with("baggage: *.error-rate: \"2\""));
    }

    #[test]
    fn the_status_names_the_header_and_the_key() {
        let mut headers = HeaderMap::new();
        headers.insert("baggage", "usr.delay=1s".parse().unwrap());
        let status = Status::from(check_overrides(&headers, &["user"]).unwrap_err());
        assert_eq!(status.code(), Code::InvalidArgument);
        let violation = &status.get_details_bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "baggage: usr.delay");
        assert!(violation.description.starts_with("no service is named \"usr\""), "{}", violation.description);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), end in "(|\\.delay=1s|\\.error-rate=1)") {
            let bytes = [&bytes, end.as_bytes()].concat();
            if let Ok(header) = http::HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(http::HeaderName::from_static("baggage"), header)]);
                if let Err(error) = check_overrides(&headers, &["user"]) {
                    prop_assert!(error.to_string().len() < 1500);
                }
            }
        }
    }
}
