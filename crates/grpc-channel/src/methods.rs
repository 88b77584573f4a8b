//! The methods of a backend: resolved once, not for every call.

use std::collections::HashMap;

use http::uri::PathAndQuery;
use parking_lot::RwLock;

use crate::{
    config::Config,
    descriptors::{DescribedMethod, Descriptors, MethodKind},
    method::Method,
    method_policy::MethodPolicy,
    service_config::ServiceConfig,
};

/// How many methods that no descriptor names are kept resolved. A proxy may be asked for any number.
const MAX_UNKNOWN: usize = 1_024;

/// The methods of a backend by their paths.
#[derive(Debug)]
pub(crate) struct Methods {
    described: HashMap<String, Method>,
    unknown: RwLock<HashMap<PathAndQuery, Method>>,
    service_config: ServiceConfig,
    defaults: MethodPolicy,
}

// === impl Methods ===

impl Methods {
    /// Resolves the methods of `descriptors`; the service config takes precedence over the channel's settings.
    pub(crate) fn new(descriptors: &Descriptors, service_config: ServiceConfig, config: &Config) -> Self {
        let defaults = MethodPolicy::of(config);
        let resolve = |method: &DescribedMethod| {
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
mod tests;
