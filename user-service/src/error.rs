//! What can go wrong, and the gRPC status of each error.

use service_kit::domain_error::{DomainError, ResourceInfo};
use tonic::Code;
use tonic_types::FieldViolation;

use crate::{store::StoreError, validate::Violations};

/// The `domain` of each `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "fanout.user.v1";
/// The type of the resource in each `google.rpc.ResourceInfo`.
const RESOURCE: &str = "fanout.user.v1.User";

/// The reason why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Fields of the request are wrong.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// No user has the id.
    #[error("no user has the id {id:?}")]
    NotFound {
        /// The id, which is well-formed.
        id: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl UserError ===

impl DomainError for UserError {
    const DOMAIN: &'static str = DOMAIN;

    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::Store(StoreError::Exists { .. }) => Code::AlreadyExists,
            // Also if it waits for somebody to mend it: the service notices, and another replica may answer meanwhile.
            Self::Store(StoreError::Unavailable { .. } | StoreError::Unusable { .. }) => Code::Unavailable,
            // It answers, but a caller that tries again gets nowhere until somebody has changed it.
            Self::Store(StoreError::ReadOnly { .. }) => Code::FailedPrecondition,
            Self::Store(StoreError::Corrupt { .. }) => Code::DataLoss,
            Self::Store(StoreError::Internal { .. }) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::NotFound { .. } => "USER_NOT_FOUND",
            Self::Store(StoreError::Exists { .. }) => "USER_EXISTS",
            Self::Store(StoreError::Unavailable { .. }) => "DATABASE_UNAVAILABLE",
            Self::Store(StoreError::ReadOnly { .. }) => "DATABASE_READ_ONLY",
            Self::Store(StoreError::Corrupt { .. }) => "DATABASE_CORRUPT",
            Self::Store(StoreError::Unusable { .. }) => "DATABASE_UNUSABLE",
            Self::Store(StoreError::Internal { .. }) => "DATABASE_UNEXPECTED",
        }
    }

    /// Describes errors of the database without the driver's message, which is only logged.
    fn message(&self) -> String {
        match self {
            Self::Invalid(_) | Self::NotFound { .. } | Self::Store(StoreError::Exists { .. }) => self.to_string(),
            Self::Store(StoreError::Unavailable { .. }) => "the database of users does not answer".to_owned(),
            Self::Store(StoreError::ReadOnly { .. }) => "the database of users is read-only".to_owned(),
            Self::Store(StoreError::Corrupt { .. }) => "the database of users is damaged".to_owned(),
            Self::Store(StoreError::Unusable { .. }) => "the database of users refuses this service".to_owned(),
            Self::Store(StoreError::Internal { .. }) => "the database of users answered unexpectedly".to_owned(),
        }
    }

    fn violations(&self) -> Vec<FieldViolation> {
        match self {
            Self::Invalid(violations) => {
                violations.iter().map(|it| FieldViolation::new(it.field, &it.description)).collect()
            }
            Self::NotFound { .. } | Self::Store(_) => Vec::new(),
        }
    }

    fn resource(&self) -> Option<ResourceInfo<'_>> {
        let (name, description) = match self {
            Self::NotFound { id } => (id, "no user has this id"),
            Self::Store(StoreError::Exists { id }) => (id, "a user with this id exists already"),
            Self::Invalid(_) | Self::Store(_) => return None,
        };
        Some(ResourceInfo { kind: RESOURCE, name, description: description.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::user::NewUser;

    #[test]
    fn every_client_can_read_what_is_wrong_with_a_user() {
        // Escaped, one of them has ten bytes.
        let hidden = |count| "\u{10fffe}".repeat(count);
        let user = NewUser::new(hidden(64), format!("\0{}", hidden(63)), hidden(63), hidden(64));
        let status = UserError::from(user.unwrap_err()).to_status();
        assert_eq!(status.get_details_bad_request().unwrap().field_violations.len(), 4);
        let headers = status.into_http::<()>().into_parts().0.headers;
        let len: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(len <= 8192, "many clients read 8 KiB of metadata: {len} bytes");
    }

    #[test]
    fn errors_of_the_database_are_not_sent_to_callers() {
        let database = || "postgres://fan@db/users".to_owned();
        let source = || "password authentication failed".into();
        for (error, code, reason) in [
            (
                StoreError::Unavailable { database: database(), source: source() },
                Code::Unavailable,
                "DATABASE_UNAVAILABLE",
            ),
            (StoreError::Unusable { database: database(), source: source() }, Code::Unavailable, "DATABASE_UNUSABLE"),
            (
                StoreError::ReadOnly { database: database(), source: source() },
                Code::FailedPrecondition,
                "DATABASE_READ_ONLY",
            ),
            (StoreError::Corrupt { database: database(), source: source() }, Code::DataLoss, "DATABASE_CORRUPT"),
            (StoreError::Internal { database: database(), source: source() }, Code::Internal, "DATABASE_UNEXPECTED"),
        ] {
            let status = UserError::from(error).to_status();
            assert_eq!(status.code(), code);
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
            let status = format!("{status:?}");
            assert!(!status.contains("password") && !status.contains("postgres"), "{status}");
        }
    }
}
