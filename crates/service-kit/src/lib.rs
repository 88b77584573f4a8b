//! The chassis of a gRPC service: everything that a process needs around its RPCs.
//!
//! A service implements [`Settings`] for its settings, or [`BackendService`] if it has simulated latency and faults,
//! and its `main` is [`process::main`].
//!
//! # Layout
//!
//! From what a service uses first to what lies below:
//!
//! * [`process`]: a service as a process, from its settings to its exit code.
//! * [`backend_service`]: a service with simulated latency and faults: [`BackendService`].
//! * [`service`]: what every service defines: [`Settings`].
//! * [`command_line`]: reads settings from the command line and the environment.
//! * [`settings`]: the flags that services share, parsers for their values, and the one-line error for a bad one.
//! * [`domain_error`]: turns errors of a domain into gRPC statuses.
//! * [`serve`]: listens, serves and drains, with health and reflection beside the services.
//! * [`listener`]: where a server accepts connections, whether they are encrypted, and which threads serve them.
//! * `work_budget`: counts requests that are more work than others as several.
//! * [`startup_gate`]: answers UNAVAILABLE until a service has started.
//! * [`readiness`]: whether a service that has started can answer.
//! * [`identity`]: who may call a service at the edge.
//! * [`watched_file`]: files that are read again when they change.
//! * [`signals`]: the signals that ask a process to stop, or to read its files again.
//! * `admin`: health and reflection, with bounds of their own.
//! * `connections`: accepts connections, and serves HTTP/2 on them; `routes`: finds the service of a request.
//! * [`workers`]: the threads that serve connections, each with a runtime of its own.
//! * `file_descriptors`: raises the limit on open files; `memory`: gives back what a burst took.
//! * `drain`: lets requests in flight finish; `close_on_drain`: ends streams that would keep a draining process alive.
//! * [`telemetry`]: logs, and the export of spans and metrics.
//! * [`health`]: asks another server for its health.

mod admin;
pub mod backend_service;
mod close_on_drain;
pub mod command_line;
mod connections;
pub mod domain_error;
mod drain;
mod file_descriptors;
pub mod health;
pub mod identity;
pub mod listener;
mod memory;
pub mod process;
pub mod readiness;
mod routes;
pub mod serve;
pub mod service;
pub mod settings;
pub mod signals;
pub mod startup_gate;
pub mod telemetry;
pub mod watched_file;
mod work_budget;
pub mod workers;

pub use backend_service::{BackendArgs, BackendService, Started};
pub use listener::Listener;
pub use readiness::ReadinessCheck;
pub use serve::{ServeContext, ServeError};
pub use service::Settings;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use telemetry::fuzzing;
pub use tower::BoxError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
