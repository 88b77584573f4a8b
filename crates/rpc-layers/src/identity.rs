//! Who makes a request, and whether they may.
//!
//! [`AuthenticateLayer`] checks the credentials of a request before it takes a place or costs a span, and tells what is
//! further in who the caller is: as a [`Caller`] in the request's extensions. What counts as credentials is for a
//! [`CheckCredentials`] to know; which identity may call which method is for a [`Policy`].
//!
//! # Layout
//!
//! * `authenticate`: [`AuthenticateLayer`] and its service.
//! * `credentials`: the credentials of a request, and [`CheckCredentials`].
//! * `caller`: [`Caller`], the result, and what an anonymous one may not do.
//! * `policy`: [`Policy`], which identity may call which method.
//! * `denial`: [`Denial`], why a request is refused, and its status.
//! * `audit`: [`AuditLevel`], the audit log, and [`AuditLayer`].
//! * `body`: the body of a reply, or none for a request that is refused.

mod audit;
mod authenticate;
mod body;
mod caller;
mod credentials;
mod denial;
mod policy;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

pub use self::{
    audit::{AUDIT_TARGET, AuditLayer, AuditLevel, Audited},
    authenticate::{Authenticate, AuthenticateFuture, AuthenticateLayer, Authentication},
    body::AuthenticatedBody,
    caller::Caller,
    credentials::CheckCredentials,
    denial::Denial,
    policy::{InvalidPolicy, Policy},
};

/// A caller that has proved who it is, such as `key:reports`. Cloning copies a reference.
///
/// Names of different mechanisms are different identities: nobody can take the name of an API key by a token whose
/// subject is that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    mechanism: Mechanism,
    name: Arc<str>,
}

/// How a caller proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// With an API key: `key:NAME`.
    ApiKey,
    /// With a signed token: `token:SUBJECT`.
    Token,
    /// With the certificate of its connection: `certificate:NAME`.
    Certificate,
}

// === impl Identity ===

impl Identity {
    /// Returns the identity with this name.
    pub fn new(mechanism: Mechanism, name: impl Into<Arc<str>>) -> Self {
        Self { mechanism, name: name.into() }
    }

    /// Returns how the caller proved it.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Returns the name, without the mechanism.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.mechanism.prefix(), self.name)
    }
}

// === impl Mechanism ===

impl Mechanism {
    /// All mechanisms.
    pub const ALL: [Self; 3] = [Self::ApiKey, Self::Token, Self::Certificate];

    /// Returns what identities of this mechanism begin with, before a colon.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "key",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}
