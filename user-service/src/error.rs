//! What can go wrong, and how it is told over gRPC.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{store::StoreError, validate::Violations};

/// Whose reasons these are: the `domain` of each `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "fanout.user.v1";
/// The type of the resource in each `google.rpc.ResourceInfo`.
pub const RESOURCE: &str = "fanout.user.v1.User";

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Fields of the request are wrong.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// No user has the id.
    #[error("no user has the id {id:?}")]
    NotFound {
        /// The id, of the right form.
        id: String,
    },
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl UserError ===

impl From<UserError> for Status {
    /// The one table from errors to codes.
    ///
    /// What the database said stays here: callers learn what it means for them.
    fn from(error: UserError) -> Self {
        let mut details = ErrorDetails::new();
        let (code, reason, message) = match &error {
            UserError::Invalid(violations) => {
                for violation in violations.iter() {
                    details.add_bad_request_violation(violation.field, &violation.description);
                }
                (Code::InvalidArgument, "INVALID_REQUEST", error.to_string())
            }
            UserError::NotFound { id } => {
                details.set_resource_info(RESOURCE, id, "", "no user has this id");
                (Code::NotFound, "USER_NOT_FOUND", error.to_string())
            }
            UserError::Store(StoreError::Exists { id }) => {
                details.set_resource_info(RESOURCE, id, "", "a user with this id exists already");
                (Code::AlreadyExists, "USER_EXISTS", error.to_string())
            }
            UserError::Store(StoreError::Unavailable { .. }) => {
                (Code::Unavailable, "DATABASE_UNAVAILABLE", "the database of users does not answer".to_owned())
            }
            UserError::Store(StoreError::Corrupt { .. }) => {
                (Code::DataLoss, "DATABASE_CORRUPT", "the database of users is damaged".to_owned())
            }
            UserError::Store(StoreError::Unusable { .. }) => {
                (Code::Internal, "DATABASE_UNUSABLE", "the database of users refuses this service".to_owned())
            }
            UserError::Store(StoreError::Internal { .. }) => {
                (Code::Internal, "DATABASE_UNEXPECTED", "the database of users answered unexpectedly".to_owned())
            }
        };
        details.set_error_info(reason, DOMAIN, HashMap::new());
        Status::with_error_details(code, message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_said_is_not_told() {
        let database = || "postgres://fan@db/users".to_owned();
        let source = || "password authentication failed".into();
        for (error, code, reason) in [
            (
                StoreError::Unavailable { database: database(), source: source() },
                Code::Unavailable,
                "DATABASE_UNAVAILABLE",
            ),
            (StoreError::Unusable { database: database(), source: source() }, Code::Internal, "DATABASE_UNUSABLE"),
            (StoreError::Corrupt { database: database(), source: source() }, Code::DataLoss, "DATABASE_CORRUPT"),
            (StoreError::Internal { database: database(), source: source() }, Code::Internal, "DATABASE_UNEXPECTED"),
        ] {
            let status = Status::from(UserError::from(error));
            assert_eq!(status.code(), code);
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
            let told = format!("{status:?}");
            assert!(!told.contains("password") && !told.contains("postgres"), "{told}");
        }
    }
}
