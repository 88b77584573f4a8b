//! The chassis of a gRPC service.
//!
//! # Layout
//!
//! * [`settings`]: flags and environment variables, and the one-line error for a bad one.
//! * [`process`]: a service as a process, from its settings to its exit code.
//! * [`telemetry`]: logs, and the export of spans and metrics.
//! * [`serve`]: listens, serves and drains, with health and reflection beside the services.
//! * `close_on_drain`: ends streams that would keep a draining process alive.
//! * [`startup_gate`]: answers UNAVAILABLE until a service has started.
//! * [`health`]: asks another server for its health.
//! * [`delay_args`]: simulated latency and faults as flags.

mod close_on_drain;
pub mod delay_args;
pub mod health;
pub mod process;
pub mod serve;
pub mod settings;
pub mod startup_gate;
pub mod telemetry;

pub use tower::BoxError;
