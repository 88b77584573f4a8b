//! What can go wrong, and how it is told over gRPC.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Whose reasons these are: the `domain` of each `google.rpc.ErrorInfo`.
const DOMAIN: &str = "fanout.country.v1";
/// The type of the resource in each `google.rpc.ResourceInfo`.
const RESOURCE: &str = "fanout.country.v1.Country";
/// How much of what a caller sent is sent back.
const SHOWN: usize = 16;

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountryError {
    /// The code is not an alpha-2 code.
    #[error("code is {}: must be two letters from A to Z, such as \"GB\"", shown(code))]
    IllFormed {
        /// What was given.
        code: String,
    },
    /// The code is well-formed, but no country has it.
    #[error("no country of ISO 3166-1 has the alpha-2 code {code:?}")]
    NotFound {
        /// The code in upper case.
        code: String,
    },
}

// === impl CountryError ===

impl From<CountryError> for Status {
    fn from(error: CountryError) -> Self {
        let message = error.to_string();
        let mut details = ErrorDetails::new();
        let (code, reason) = match &error {
            CountryError::IllFormed { .. } => {
                details.add_bad_request_violation("code", &message);
                (Code::InvalidArgument, "INVALID_REQUEST")
            }
            CountryError::NotFound { code } => {
                details.set_resource_info(RESOURCE, code, "", &message);
                (Code::NotFound, "COUNTRY_NOT_FOUND")
            }
        };
        details.set_error_info(reason, DOMAIN, HashMap::new());
        Status::with_error_details(code, message, details)
    }
}

/// A caller's text, quoted, its control characters escaped, of bounded length.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
