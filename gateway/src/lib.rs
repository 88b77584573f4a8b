//! The aggregator: one request here is several calls to the services behind it, run as
//! the request asks, and every reply says how much those calls overlapped.
//!
//! # Layout
//!
//! A request goes through these from top to bottom:
//!
//! * [`config`]: the gateway's settings, and how it is put together from them.
//! * [`service`]: adapts RPCs to the domain and back.
//! * [`request`]: what a request asks for, checked.
//! * [`profile`]: the domain: which calls answer which question.
//! * [`backends`]: the table of the services behind the gateway, and a channel to each.
//! * [`report`]: the fan-out's report as the contract has it.
//! * [`user_stream`]: a stream of users as messages, of which the last is the report.
//! * `metrics`: the fan-out's figures as metrics.
//! * [`error`]: one table from what can go wrong to gRPC's status.

pub mod backends;
pub mod config;
pub mod error;
mod metrics;
pub mod profile;
pub mod report;
pub mod request;
pub mod service;
pub mod user_stream;

pub use config::Config;
pub use service::Gateway;
