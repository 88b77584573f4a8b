//! The aggregator: one request here is several calls to the services behind it, and every reply reports how much those
//! calls overlapped.
//!
//! # Layout
//!
//! A request passes through these modules from top to bottom:
//!
//! * [`config`]: the gateway's settings, and how it starts.
//! * [`service`]: adapts RPCs to the domain and back.
//! * [`request`]: requests of the contract as checked queries.
//! * [`profile`]: the domain: the calls that each request makes.
//! * [`backends`]: the table of the services behind the gateway, and a channel to each.
//! * [`report`]: converts reports of fan-outs to the contract's message.
//! * [`user_stream`]: the messages of a stream of users. The last one is the report.
//! * `stream_limit`: a limit on the calls of all streams together.
//! * `metrics`: metrics of all fan-outs.
//! * [`error`]: errors, and the gRPC status of each.

pub mod backends;
pub mod config;
pub mod error;
mod metrics;
pub mod profile;
pub mod report;
pub mod request;
pub mod service;
mod stream_limit;
pub mod user_stream;

pub use config::Config;
pub use service::Gateway;
