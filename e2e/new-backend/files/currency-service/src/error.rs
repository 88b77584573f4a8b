//! What can go wrong, and the gRPC status of each error.

use service_kit::domain_error::{DomainError, ResourceInfo};
use tonic::Code;

/// The reason why a request fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// No currency is known for the country.
    #[error("no currency is known for the country {country_code:?}")]
    NotFound {
        /// The country of the request.
        country_code: String,
    },
}

// === impl CurrencyError ===

impl DomainError for CurrencyError {
    const DOMAIN: &'static str = "fanout.currency.v1";

    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "CURRENCY_NOT_FOUND",
        }
    }

    fn resource(&self) -> Option<ResourceInfo<'_>> {
        match self {
            Self::NotFound { country_code } => Some(ResourceInfo {
                kind: "fanout.currency.v1.Currency",
                name: country_code,
                description: self.to_string(),
            }),
        }
    }
}
