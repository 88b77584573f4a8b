//! Why a request is refused.

use std::{borrow::Cow, collections::HashMap};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::Identity;

/// Why a request is refused. Its status has a `google.rpc.ErrorInfo` with the reason, domain `fanout`.
///
/// Neither the message nor the reason may contain anything of the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    code: Code,
    reason: &'static str,
    message: Cow<'static, str>,
}

// === impl Denial ===

impl Denial {
    /// The credentials are wrong.
    pub const fn unauthenticated(reason: &'static str, message: &'static str) -> Self {
        Self::new(Code::Unauthenticated, reason, message)
    }

    /// The credentials cannot be checked now; they may be right.
    pub const fn unavailable(reason: &'static str, message: &'static str) -> Self {
        Self::new(Code::Unavailable, reason, message)
    }

    /// The credentials are not looked at: too many wrong ones came from the same place.
    pub const fn too_many(reason: &'static str, message: &'static str) -> Self {
        Self::new(Code::ResourceExhausted, reason, message)
    }

    /// The credentials do not have their form.
    pub const fn malformed(message: &'static str) -> Self {
        Self::unauthenticated("MALFORMED_CREDENTIALS", message)
    }

    /// There are none, and the method needs some.
    pub(super) const fn no_credentials() -> Self {
        Self::unauthenticated(
            "NO_CREDENTIALS",
            "there are no credentials: send a key or a token in the header authorization, after Bearer",
        )
    }

    /// The caller is known, and may not call this method.
    pub(super) fn not_allowed(identity: &Identity, method: &str) -> Self {
        let message = Cow::Owned(format!("{identity} may not call {method}"));
        Self { code: Code::PermissionDenied, reason: "METHOD_NOT_ALLOWED", message }
    }

    const fn new(code: Code, reason: &'static str, message: &'static str) -> Self {
        Self { code, reason, message: Cow::Borrowed(message) }
    }

    /// Returns the status code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns the reason, such as `TOKEN_EXPIRED`.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns the status for the caller.
    pub(super) fn status(&self) -> Status {
        let details = ErrorDetails::with_error_info(self.reason, "fanout", HashMap::new());
        Status::with_error_details(self.code, self.message.clone(), details)
    }
}
