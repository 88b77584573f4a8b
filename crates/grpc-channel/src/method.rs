//! A method, with how its calls are treated.

use std::{fmt, sync::Arc};

use http::uri::PathAndQuery;

use crate::{descriptors::MethodKind, method_policy::MethodPolicy};

/// A method of a backend, with all that is configured for it. Cloning it costs a reference count.
#[derive(Clone)]
pub struct Method(Arc<Resolved>);

struct Resolved {
    path: PathAndQuery,
    kind: MethodKind,
    is_idempotent: bool,
    policy: MethodPolicy,
}

// === impl Method ===

impl Method {
    /// Returns the method's path, such as `/fanout.user.v1.UserService/GetUser`.
    pub fn path(&self) -> &str {
        self.0.path.path()
    }

    /// Returns whether calling it twice does what calling it once does.
    pub fn is_idempotent(&self) -> bool {
        self.0.is_idempotent
    }

    /// Returns the method as reports and spans name it: its path without the first slash.
    pub(crate) fn name(&self) -> &str {
        self.path().trim_start_matches('/')
    }

    pub(crate) fn path_and_query(&self) -> &PathAndQuery {
        &self.0.path
    }

    pub(crate) fn kind(&self) -> MethodKind {
        self.0.kind
    }

    pub(crate) fn policy(&self) -> &MethodPolicy {
        &self.0.policy
    }

    pub(crate) fn new(path: PathAndQuery, kind: MethodKind, is_idempotent: bool, policy: MethodPolicy) -> Self {
        Self(Arc::new(Resolved { path, kind, is_idempotent, policy }))
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
impl Method {
    /// Returns whether both are one, resolved once.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(any(test, feature = "benches"))]
impl Method {
    /// Returns a method for the layers' tests and benches.
    pub(crate) fn example(is_idempotent: bool) -> Self {
        Self::with_policy(is_idempotent, MethodPolicy::of(&crate::config::Config::default()))
    }

    /// Returns one with this policy.
    pub(crate) fn with_policy(is_idempotent: bool, policy: MethodPolicy) -> Self {
        let path = PathAndQuery::from_static(if is_idempotent {
            "/example.v1.Example/Get"
        } else {
            "/example.v1.Example/Create"
        });
        Self::new(path, MethodKind::Unary, is_idempotent, policy)
    }
}
