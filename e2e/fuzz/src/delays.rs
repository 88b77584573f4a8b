//! Simulated delays and error rates, as settings and in baggage: what is shown reads back, and the gateway accepts
//! exactly the overrides that its backends apply.

use fault_injection::{Distribution, ErrorRate, InvalidBaggage, MAX_DELAY, check_overrides, fuzzing::overrides};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::{SeedableRng as _, rngs::SmallRng};
use tonic::Code;

use crate::{
    status::assert_status,
    text::{assert_error, text},
};

const SERVICES: [&str; 2] = ["user", "country"];

/// Takes the input as a delay, as an error rate, and as a baggage header.
pub fn run(input: &[u8]) {
    if let Some(text) = text(input) {
        match text.parse::<Distribution>() {
            Ok(delay) => check_delay(delay),
            Err(error) => assert_error(&error),
        }
        match text.parse::<ErrorRate>() {
            Ok(rate) => assert_eq!(rate.to_string().parse(), Ok(rate)),
            Err(error) => assert_error(&error),
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(input) {
        check_baggage(&headers(value));
    }
}

fn check_delay(delay: Distribution) {
    let shown = delay.to_string();
    assert_eq!(shown.parse(), Ok(delay), "{shown}");
    assert!(delay.sample(&mut SmallRng::seed_from_u64(1)) <= MAX_DELAY);
    let entry = format!("user.delay={}", utf8_percent_encode(&shown, NON_ALPHANUMERIC));
    let headers = headers(entry.parse().unwrap());
    assert_eq!(check_overrides(&headers, &SERVICES), Ok(()));
    assert_eq!(overrides(&headers, "user"), Ok((Some(delay), None)));
    assert_eq!(overrides(&headers, "country"), Ok((None, None)));
}

fn check_baggage(headers: &HeaderMap) {
    let applied: Result<Vec<_>, _> = SERVICES.iter().map(|service| overrides(headers, service)).collect();
    match (check_overrides(headers, &SERVICES), applied) {
        (Ok(()), Ok(_)) => {}
        (Ok(()), Err(error)) => panic!("only a backend rejects it: {error}"),
        // A name that no service has is an error of the gateway alone.
        (Err(error), Ok(_)) => {
            assert!(error.to_string().contains("no service is named"), "only the gateway rejects it: {error}");
            check_error(error);
        }
        (Err(one), Err(other)) => {
            check_error(one);
            check_error(other);
        }
    }
}

fn check_error(error: InvalidBaggage) {
    assert_error(&error);
    assert_error(&error.field());
    assert_error(&error.description());
    assert_status(error.into(), Code::InvalidArgument);
}

fn headers(value: HeaderValue) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("baggage"), value)])
}
