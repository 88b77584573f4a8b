//! What can go wrong, and the gRPC status of each error.

use service_kit::domain_error::{DomainError, ResourceInfo, excerpt};
use tonic::Code;
use tonic_types::FieldViolation;

/// The reason why a request fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountryError {
    /// The code is not an alpha-2 code.
    #[error("code is {}: must be two letters from A to Z, such as \"GB\"", excerpt(code))]
    IllFormed {
        /// The code of the request.
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

impl DomainError for CountryError {
    const DOMAIN: &'static str = "fanout.country.v1";

    fn code(&self) -> Code {
        match self {
            Self::IllFormed { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::IllFormed { .. } => "INVALID_REQUEST",
            Self::NotFound { .. } => "COUNTRY_NOT_FOUND",
        }
    }

    fn violations(&self) -> Vec<FieldViolation> {
        match self {
            Self::IllFormed { .. } => vec![FieldViolation::new("code", self.to_string())],
            Self::NotFound { .. } => Vec::new(),
        }
    }

    fn resource(&self) -> Option<ResourceInfo<'_>> {
        match self {
            Self::IllFormed { .. } => None,
            Self::NotFound { code } => {
                Some(ResourceInfo { kind: "fanout.country.v1.Country", name: code, description: self.to_string() })
            }
        }
    }
}
