//! The settings of the viewer.

use crate::gateway::SharedGateway;

/// The settings of the viewer.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway of the run panel, if there is one.
    pub gateway: Option<SharedGateway>,
    /// How many bytes the traces may take. The oldest go first.
    pub max_bytes: usize,
    /// The version that it says it is.
    pub version: &'static str,
    /// The names besides loopback ones by which browsers may reach it.
    pub hosts: Vec<String>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { gateway: None, max_bytes: 128 << 20, version: env!("CARGO_PKG_VERSION"), hosts: Vec::new() }
    }
}
