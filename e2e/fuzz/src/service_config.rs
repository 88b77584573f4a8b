//! gRPC's service config: what it means does not depend on how the document is written, and it never asks for more
//! than is allowed.

use grpc_channel::{InvalidServiceConfig, ServiceConfig, fuzzing::MethodLimits};

use crate::text::{assert_error, text};

/// The methods that the seeds name, and one that they do not.
const METHODS: [&str; 3] = ["/a.B/C", "/a.B/D", "/e.F/G"];

/// Takes the input as the document.
pub fn run(input: &[u8]) {
    let Some(text) = text(input) else { return };
    match ServiceConfig::from_json(text) {
        Ok(config) => {
            let limits = limits(&config);
            for MethodLimits { retries, hedges, longest_waits, max_wait, .. } in &limits {
                assert!(*retries <= 4 && *hedges <= 5, "{limits:?}");
                assert!(longest_waits.iter().all(|wait| wait <= max_wait), "{limits:?}");
            }
            // Reading it as plain JSON and writing it again changes order, space and escapes, and nothing else.
            let json: serde_json::Value = serde_json::from_str(text).expect("a service config is JSON");
            let again = ServiceConfig::from_json(&json.to_string()).expect("the same document");
            assert_eq!(self::limits(&again), limits);
        }
        Err(InvalidServiceConfig { path, message }) => {
            assert_error(&path);
            assert_error(&message);
        }
    }
}

fn limits(config: &ServiceConfig) -> Vec<MethodLimits> {
    METHODS.iter().map(|method| MethodLimits::of(config, method)).collect()
}
