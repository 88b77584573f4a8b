//! The settings of the viewer.

use std::path::PathBuf;

use crate::gateway::SharedGateway;

/// The settings of the viewer.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway of the run panel, if there is one.
    pub gateway: Option<SharedGateway>,
    /// How many bytes the traces may take. The oldest go first.
    pub max_bytes: usize,
    /// Where every request is handed on to: a receiver of OTLP over gRPC, such as `http://127.0.0.1:14317`.
    pub forward: Option<String>,
    /// The directory of a database that keeps traces over a restart.
    pub data_dir: Option<PathBuf>,
    /// The version that it says it is.
    pub version: &'static str,
    /// The names besides loopback ones by which browsers may reach it.
    pub hosts: Vec<String>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            gateway: None,
            forward: None,
            data_dir: None,
            max_bytes: 128 << 20,
            version: env!("CARGO_PKG_VERSION"),
            hosts: Vec::new(),
        }
    }
}
