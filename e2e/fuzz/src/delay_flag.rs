//! The flag `--delay` of `fanout compare`, `load` and `call`: a gateway accepts the baggage that it becomes.

use std::{sync::LazyLock, time::Duration};

use fanout_cli::gateway_client::{baggage::BaggageEntry, delay::DelayOverrides, request::RequestOptions, tls::TlsArgs};
use fault_injection::{check_overrides, fuzzing::overrides};
use http::HeaderMap;
use rpc_layers::Baggage;

use crate::text::{assert_error, text};

static OPTIONS: LazyLock<RequestOptions> = LazyLock::new(|| RequestOptions {
    gateway: "http://127.0.0.1:50051".parse().unwrap(),
    failure_policy: None,
    delay: Vec::new(),
    baggage: Vec::new(),
    timeout: Duration::from_secs(1),
    tls: TlsArgs::default(),
    api_key_file: None,
});

/// Takes the input as the flag's value, and as that of `--baggage`.
pub fn run(input: &[u8]) {
    let Some(text) = text(input) else { return };
    match text.parse::<DelayOverrides>() {
        Ok(delay) => {
            let headers = headers(&RequestOptions { delay: vec![delay], ..OPTIONS.clone() });
            // Any names will do: those that the gateway knows are its own affair.
            let list = headers["baggage"].to_str().unwrap();
            let keys = list.split(',').map(|entry| entry.split_once('=').unwrap().0);
            let names: Vec<&str> = keys.map(|key| key.strip_suffix(".delay").unwrap()).collect();
            assert!(names.len() <= text.split(',').count());
            if list.len() > Baggage::MAX_LEN {
                return assert_error(&check_overrides(&headers, &names).unwrap_err());
            }
            assert_eq!(check_overrides(&headers, &names), Ok(()), "{text:?} became {list:?}");
            for name in names {
                let (delay, error_rate) = overrides(&headers, name).unwrap();
                assert!(delay.is_some() && error_rate.is_none(), "{list:?} delays {name}");
            }
        }
        Err(error) => assert_error(&error),
    }
    match text.parse::<BaggageEntry>() {
        Ok(entry) => {
            let headers = headers(&RequestOptions { baggage: vec![entry], ..OPTIONS.clone() });
            assert_eq!(headers["baggage"].as_bytes().iter().filter(|byte| b",;".contains(byte)).count(), 0);
        }
        Err(error) => assert_error(&error),
    }
}

fn headers(options: &RequestOptions) -> HeaderMap {
    options.request(()).into_parts().0.into_headers()
}
