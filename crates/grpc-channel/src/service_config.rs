//! gRPC's service config: how the calls of each method are treated, as a JSON document.

mod document;
mod error;
mod overrides;

use std::collections::HashMap;

pub use self::error::InvalidServiceConfig;
use self::overrides::MethodOverrides;
pub(crate) use self::overrides::RetryThrottling;
use crate::{descriptors::Descriptors, excerpt::excerpt, method_policy::MethodPolicy};

/// A service config (gRFC A2, A6): `methodConfig` by service and method, and `retryThrottling`.
///
/// ```
/// let config = grpc_channel::ServiceConfig::from_json(r#"{
///   "methodConfig": [{
///     "name": [{"service": "helloworld.Greeter", "method": "SayHello"}],
///     "timeout": "1.5s",
///     "waitForReady": true,
///     "retryPolicy": {
///       "maxAttempts": 3,
///       "initialBackoff": "0.1s",
///       "maxBackoff": "1s",
///       "backoffMultiplier": 2,
///       "retryableStatusCodes": ["UNAVAILABLE"]
///     }
///   }]
/// }"#)?;
/// # Ok::<(), grpc_channel::InvalidServiceConfig>(())
/// ```
///
/// - `timeout` bounds a call with all its attempts, as a caller's deadline does.
/// - `waitForReady` makes calls wait while no endpoint can be reached, to their deadline.
/// - `retryPolicy` replaces the channel's own retries, whatever the method's idempotency: naming the codes says that the
///   method may be sent again. It applies to unary calls; streams are sent again only if they were never sent.
/// - `hedgingPolicy` replaces the channel's own hedging and retries.
/// - `retryThrottling` replaces the budgets of retries and hedges.
#[derive(Clone, Debug, Default)]
pub struct ServiceConfig {
    /// By `/service/method`, `/service/`, or the empty string for all.
    methods: HashMap<String, MethodOverrides>,
    retry_throttling: Option<RetryThrottling>,
}

// === impl ServiceConfig ===

impl ServiceConfig {
    /// Reads a service config.
    ///
    /// # Errors
    ///
    /// Returns an error that names the place if the text is not JSON, or if an entry is unknown, out of range or contradicts
    /// another.
    pub fn from_json(text: &str) -> Result<Self, InvalidServiceConfig> {
        let (methods, retry_throttling) = document::read(text)?;
        Ok(Self { methods, retry_throttling })
    }

    /// Checks that the methods it names exist, if their service does.
    ///
    /// # Errors
    ///
    /// Returns an error that names the entry, and the methods that there are.
    pub fn check(&self, descriptors: &Descriptors) -> Result<(), InvalidServiceConfig> {
        let mut names: Vec<_> =
            self.methods.keys().filter_map(|name| name.strip_prefix('/')?.split_once('/')).collect();
        names.sort_unstable();
        for (service, method) in names {
            let of_service: Vec<_> = descriptors
                .methods
                .iter()
                .filter(|described| described.service == service)
                .map(|described| described.name.as_str())
                .collect();
            if of_service.is_empty() {
                let mut services: Vec<_> = descriptors.methods.iter().map(|method| method.service.as_str()).collect();
                services.dedup();
                return Err(InvalidServiceConfig {
                    path: "methodConfig.name.service".to_owned(),
                    message: format!(
                        "{:?} is no service of the contract: {} are",
                        excerpt(service),
                        services.join(", ")
                    ),
                });
            }
            if !method.is_empty() && !of_service.contains(&method) {
                return Err(InvalidServiceConfig {
                    path: "methodConfig.name.method".to_owned(),
                    message: format!("{:?} is no method of {service}: {} are", excerpt(method), of_service.join(", ")),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn retry_throttling(&self) -> Option<RetryThrottling> {
        self.retry_throttling
    }

    /// Returns how calls of the method at `path` are treated: by the entry of the method, else of its service, else of all.
    pub(crate) fn policy(&self, path: &str, defaults: &MethodPolicy) -> MethodPolicy {
        let service = path.rfind('/').map_or(path, |slash| &path[..=slash]);
        let overrides = [path, service, ""].into_iter().find_map(|name| self.methods.get(name));
        overrides.map_or(*defaults, |overrides| overrides.apply(defaults))
    }
}

#[cfg(test)]
mod tests;
