//! What every process of fanout shares: the microservice chassis.
//!
//! # Layout
//!
//! * [`settings`]: flags and environment variables, and one line for a bad one.
//! * [`process`]: a service as a process, from its settings to its exit code.
//! * [`telemetry`]: logs, and the export of spans and metrics.
//! * [`serve`]: listen, answer, drain; health and reflection beside the services.
//! * `until_drain`: ends streams that would hold a process which drains.
//! * [`late`]: a service that is not there yet.
//! * [`health`]: asking another server for its health.
//! * [`limit`], [`trace`], [`deadline`], [`delay`]: tower layers, in the order in which a
//!   request passes them.
//! * [`handed_on`]: what a request hands on to the calls made for it.

pub mod deadline;
pub mod delay;
pub mod handed_on;
pub mod health;
pub mod late;
pub mod limit;
pub mod process;
pub mod serve;
pub mod settings;
pub mod telemetry;
pub mod trace;
mod until_drain;

pub use handed_on::HandedOn;
pub use tower::BoxError;
