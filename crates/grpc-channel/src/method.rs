//! Methods, and how calls of each are treated: resolved once, not for every call.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use http::uri::PathAndQuery;
use parking_lot::RwLock;

use crate::{
    config::Config,
    descriptors::{Descriptors, MethodKind},
    policy::{hedge::HedgePolicy, retry::RetryPolicy},
    service_config::ServiceConfig,
};

/// How many methods that no descriptor names are kept resolved. A proxy may be asked for any number.
const MAX_UNKNOWN: usize = 1_024;

/// A method of a backend, with all that is configured for it. Cloning it costs a reference count.
#[derive(Clone)]
pub struct Method(Arc<Resolved>);

struct Resolved {
    path: PathAndQuery,
    kind: MethodKind,
    is_idempotent: bool,
    policy: MethodPolicy,
}

/// How calls of a method are treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MethodPolicy {
    /// How long a call may take at most, besides its caller's deadline.
    pub(crate) timeout: Option<Duration>,
    /// Calls wait while no endpoint can be reached, instead of failing.
    pub(crate) wait_for_ready: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) hedge: HedgePolicy,
}

/// The methods of a backend by their paths.
#[derive(Debug)]
pub(crate) struct Methods {
    described: HashMap<String, Method>,
    unknown: RwLock<HashMap<PathAndQuery, Method>>,
    service_config: ServiceConfig,
    defaults: MethodPolicy,
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

    fn new(path: PathAndQuery, kind: MethodKind, is_idempotent: bool, policy: MethodPolicy) -> Self {
        Self(Arc::new(Resolved { path, kind, is_idempotent, policy }))
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl MethodPolicy ===

impl MethodPolicy {
    /// Returns what the channel's settings say of every method.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            timeout: None,
            wait_for_ready: false,
            retry: RetryPolicy::of(config),
            hedge: HedgePolicy::after(config.hedge),
        }
    }
}

// === impl Methods ===

impl Methods {
    /// Resolves the methods of `descriptors`; the service config takes precedence over the channel's settings.
    pub(crate) fn new(descriptors: &Descriptors, service_config: ServiceConfig, config: &Config) -> Self {
        let defaults = MethodPolicy::of(config);
        let resolve = |method: &crate::descriptors::DescribedMethod| {
            let path = method.path();
            let policy = service_config.policy(&path, &defaults);
            // A name that is no path cannot be called either.
            let path_and_query = path.parse().ok()?;
            Some((path, Method::new(path_and_query, method.kind, method.is_idempotent, policy)))
        };
        let described = descriptors.methods.iter().filter_map(resolve).collect();
        Self { described, unknown: RwLock::default(), service_config, defaults }
    }

    /// Returns the method at this path.
    pub(crate) fn get(&self, path: &PathAndQuery) -> Method {
        if let Some(method) = self.described.get(path.path()) {
            return method.clone();
        }
        if let Some(method) = self.unknown.read().get(path) {
            return method.clone();
        }
        let policy = self.service_config.policy(path.path(), &self.defaults);
        let method = Method::new(path.clone(), MethodKind::Unknown, false, policy);
        let mut unknown = self.unknown.write();
        if unknown.len() < MAX_UNKNOWN {
            unknown.insert(path.clone(), method.clone());
        }
        method
    }
}

#[cfg(test)]
impl Method {
    /// Returns a method for the layers' tests.
    pub(crate) fn example(is_idempotent: bool) -> Self {
        Self::with_policy(is_idempotent, MethodPolicy::of(&Config::default()))
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

#[cfg(test)]
mod tests;
