//! Turns errors of a domain into gRPC statuses.

use std::{collections::HashMap, error::Error};

use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// An error of a service's domain, as its callers see it: a code, a reason, and details by the `google.rpc` error
/// model.
///
/// ```
/// # use service_kit::domain_error::{DomainError, ResourceInfo};
/// # use tonic::Code;
/// #[derive(Debug, thiserror::Error)]
/// #[error("no book has the number {0:?}")]
/// struct NoBook(String);
///
/// impl DomainError for NoBook {
///     const DOMAIN: &'static str = "example.library.v1";
///
///     fn code(&self) -> Code {
///         Code::NotFound
///     }
///
///     fn reason(&self) -> &'static str {
///         "BOOK_NOT_FOUND"
///     }
///
///     fn resource(&self) -> Option<ResourceInfo<'_>> {
///         Some(ResourceInfo { kind: "example.library.v1.Book", name: &self.0, description: "no such book".into() })
///     }
/// }
///
/// assert_eq!(NoBook("7".into()).to_status().code(), Code::NotFound);
/// ```
pub trait DomainError: Error {
    /// The `domain` of its `google.rpc.ErrorInfo`: the package of the contract.
    const DOMAIN: &'static str;

    /// Returns the status code.
    fn code(&self) -> Code;

    /// Returns the `reason` of its `google.rpc.ErrorInfo`, such as `USER_NOT_FOUND`.
    fn reason(&self) -> &'static str;

    /// Returns the message for callers. Override it if the error's own text holds what callers must not see.
    fn message(&self) -> String {
        self.to_string()
    }

    /// Returns the fields of the request that are invalid, for `google.rpc.BadRequest`.
    fn violations(&self) -> Vec<FieldViolation> {
        Vec::new()
    }

    /// Returns the resource that the error is about, for `google.rpc.ResourceInfo`.
    fn resource(&self) -> Option<ResourceInfo<'_>> {
        None
    }

    /// Returns the status with all details.
    fn to_status(&self) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason(), Self::DOMAIN, HashMap::new());
        let violations = self.violations();
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        if let Some(ResourceInfo { kind, name, description }) = self.resource() {
            details.set_resource_info(kind, name, "", description);
        }
        Status::with_error_details(self.code(), self.message(), details)
    }
}

/// The resource that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo<'a> {
    /// The full name of its type, such as `fanout.user.v1.User`.
    pub kind: &'static str,
    /// Its name, such as an id.
    pub name: &'a str,
    /// What is wrong with it.
    pub description: String,
}

/// Turns the result of a domain function into the result of an RPC.
///
/// Logs errors that are the service's own fault, with their full text, which callers may not see: UNAVAILABLE as a
/// warning; INTERNAL, UNKNOWN and `DATA_LOSS` as an error.
///
/// # Errors
///
/// Returns the status of the error.
pub fn respond<T, E: DomainError>(result: Result<T, E>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| {
        match error.code() {
            Code::Unavailable => tracing::warn!(%error, "request failed"),
            Code::Internal | Code::Unknown | Code::DataLoss => tracing::error!(%error, "request failed"),
            _ => {}
        }
        error.to_status()
    })
}

/// The maximum length of the part of a caller's text that an error repeats, in characters.
const MAX_EXCERPT: usize = 64;

/// The same in bytes, after escaping: as many as 64 characters have that are not escaped.
const MAX_EXCERPT_LEN: usize = 4 * MAX_EXCERPT;

/// Returns a caller's text for an error message: quoted, with control characters escaped, and cut after 64 characters or
/// 256 bytes, so that a text of megabytes does not come back in the headers of the reply.
pub fn excerpt(text: &str) -> String {
    let mut escaped = String::with_capacity(MAX_EXCERPT);
    let mut left = text.chars();
    for c in left.by_ref().take(MAX_EXCERPT) {
        // As `Debug` does for a text.
        if c == '\'' {
            escaped.push(c);
        } else {
            escaped.extend(c.escape_debug());
        }
        if escaped.len() >= MAX_EXCERPT_LEN {
            break;
        }
    }
    let ellipsis = if left.next().is_some() { "…" } else { "" };
    format!("\"{escaped}\"{ellipsis}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the password is hunter2")]
    struct Example(Code);

    impl DomainError for Example {
        const DOMAIN: &'static str = "example.v1";

        fn code(&self) -> Code {
            self.0
        }

        fn reason(&self) -> &'static str {
            "EXAMPLE"
        }

        fn message(&self) -> String {
            "an example".to_owned()
        }

        fn violations(&self) -> Vec<FieldViolation> {
            vec![FieldViolation::new("name", "is empty")]
        }

        fn resource(&self) -> Option<ResourceInfo<'_>> {
            Some(ResourceInfo { kind: "example.v1.Thing", name: "7", description: "no such thing".to_owned() })
        }
    }

    #[test]
    fn an_excerpt_is_quoted_and_cut() {
        assert_eq!(excerpt("G\n"), "\"G\\n\"");
        assert_eq!(excerpt("it's \"1\" \u{202e}é\u{301}"), format!("{:?}", "it's \"1\" \u{202e}é\u{301}"));
        assert_eq!(excerpt(&"🦀".repeat(64)), format!("{:?}", "🦀".repeat(64)));
        assert!(excerpt(&"\u{10ffff}".repeat(64)).len() < 280, "an escaped character has up to ten bytes");
        assert_eq!(excerpt(&"é".repeat(64)), format!("{:?}", "é".repeat(64)));
        assert_eq!(excerpt(&"é".repeat(65)), format!("{:?}…", "é".repeat(64)));
    }

    #[test]
    fn a_status_has_all_details_and_only_the_message_for_callers() {
        let status = respond::<(), _>(Err(Example(Code::NotFound))).unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "an example"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("EXAMPLE", "example.v1"));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 1);
        assert_eq!((violations[0].field.as_str(), violations[0].description.as_str()), ("name", "is empty"));
        let resource = status.get_details_resource_info().unwrap();
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("example.v1.Thing", "7"));
        assert!(!format!("{status:?}").contains("hunter2"));
    }
}
