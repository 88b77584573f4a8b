//! W3C Baggage: what is passed on is a part of what was given.

use http::{HeaderMap, HeaderValue};
use rpc_layers::{Baggage, BaggageKeys, fuzzing::baggage_headers};

use crate::text::{assert_error, text};

/// Takes the keys from the first line, and a header from each other line.
pub fn run(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let keys = lines.next().unwrap_or_default();
    let headers: HeaderMap = lines
        .filter_map(|line| Some((http::HeaderName::from_static("baggage"), HeaderValue::from_bytes(line).ok()?)))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        });
    let given = Baggage::of(&headers);
    assert_eq!(baggage_headers(&given), headers, "what is not filtered is passed on as it came");
    match given.check_len() {
        Ok(()) => assert!(len(&headers) <= Baggage::MAX_LEN),
        Err(error) => {
            assert!(len(&headers) > Baggage::MAX_LEN);
            assert_error(&error);
        }
    }
    let Some(keys) = text(keys) else { return };
    let keys = match keys.parse::<BaggageKeys>() {
        Ok(keys) => keys,
        Err(error) => return assert_error(&error),
    };
    let mut kept = given.clone();
    kept.retain(&keys);
    assert_part(&baggage_headers(&kept), &headers);

    let mut again = kept.clone();
    again.retain(&keys);
    assert_eq!(again, kept, "what was kept once is kept again");

    let (all, none) = ("*".parse::<BaggageKeys>().unwrap(), "none".parse::<BaggageKeys>().unwrap());
    for (keys, expected) in [(keys.clone().and(none.clone()), &kept), (keys.and(all), &given)] {
        let mut baggage = given.clone();
        baggage.retain(&keys);
        assert_eq!(&baggage, expected);
    }
    let mut baggage = given;
    baggage.retain(&none);
    assert!(baggage.is_empty());
}

/// Asserts that all entries of `kept` are in `given`, in the same order and byte by byte.
fn assert_part(kept: &HeaderMap, given: &HeaderMap) {
    let mut rest = entries(given);
    for entry in entries(kept) {
        assert!(rest.any(|given| given == entry), "{:?} was not given", entry.escape_ascii().to_string());
    }
    assert!(len(kept) <= len(given));
    assert!(kept.values().all(|value| !value.is_empty()) || given.values().any(HeaderValue::is_empty));
}

fn entries(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all("baggage").into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
}

fn len(headers: &HeaderMap) -> usize {
    headers.values().map(HeaderValue::len).sum()
}
