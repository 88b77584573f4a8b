//! Tower layers around any tonic service or client: deadlines, traces, a limit on requests in flight, and the context
//! that a request passes to the calls made for it.
//!
//! # Layout
//!
//! * [`identity`]: who makes a request, and whether they may. The outermost layer of a server at the edge.
//! * [`body_timeout`]: bounds the time in which a request's message arrives. Outside of all others.
//! * [`rate_limit`]: rejects requests of a caller that makes more than so many a second.
//! * [`limit`]: rejects requests above a maximum number in flight. Outside of everything that takes time.
//! * [`trace`]: a span and a duration metric for each request and each call, with W3C Trace Context between processes.
//! * [`deadline`]: enforces `grpc-timeout` on a server, and sends what is left of it with each call of a client.
//! * [`conformance`]: refuses requests that are not gRPC. The innermost layer of a server.
//! * [`call_context`]: the [`CallContext`], which carries deadline, baggage and trace parent from a request to its
//!   calls.
//! * [`baggage`]: W3C Baggage, and how much of it a process passes on.
//! * [`peer`]: who is at the other end of a request's connection.
//! * [`blame`]: a mark on failures that the caller asked for.
//! * [`source`]: searches the sources of an error by type.
//! * [`throttle`]: allows some log lines in place of many.
//!
//! The layers that record metrics are given their [`Meter`](opentelemetry::metrics::Meter) when they are made; without
//! one they record nothing.

pub mod baggage;
pub mod blame;
pub mod body_timeout;
pub mod call_context;
mod caller_key;
pub mod conformance;
pub mod deadline;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod header_value;
pub mod identity;
pub mod limit;
pub mod peer;
pub mod rate_limit;
pub mod source;
mod streaming_methods;
pub mod throttle;
pub mod trace;

pub use baggage::{Baggage, BaggageKeys};
pub use call_context::CallContext;
pub use peer::{Peer, PeerCertificate};
pub use throttle::Throttle;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
