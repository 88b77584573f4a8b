//! The backends that a test needs but does not examine.

use fanout_cli::services::{self, LaunchContext};
use tempfile::TempDir;

use crate::service::Service;

/// Flags of processes whose requests nobody counts: their log has no line for each.
pub const NO_REQUEST_LINES: [&str; 2] = ["--log", "info,rpc_layers::trace=warn"];

/// Backends, each a process. They are killed when this is dropped.
pub struct Backends {
    services: Vec<(&'static str, Service)>,
    _data: TempDir,
}

// === impl Backends ===

impl Backends {
    /// Starts every backend of the table of services, except those that the test starts itself.
    pub fn start_except(excluded: &[&str]) -> Self {
        Self::start_with_delay("0", excluded)
    }

    /// Starts every backend with this delay, except those that the test starts itself.
    pub fn start_with_delay(delay: &str, excluded: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let context = LaunchContext { delay: &delay.parse().unwrap(), data_dir: data.path(), backends: &[] };
        let needed = services::backends().filter(|backend| !excluded.contains(&backend.name));
        let start = |backend: &services::Service| {
            let args = backend.args(&context);
            let args: Vec<_> = args.iter().map(String::as_str).chain(NO_REQUEST_LINES).collect();
            (backend.name, Service::start(backend.name, &args, "serving"))
        };
        Self { services: needed.map(start).collect(), _data: data }
    }

    /// Returns the gateway's flags for the URLs of these backends.
    pub fn gateway_args(&self) -> Vec<String> {
        self.services.iter().flat_map(|(name, service)| [format!("--{name}"), service.url.clone()]).collect()
    }

    /// Returns the processes.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().map(|(_, service)| service)
    }
}
