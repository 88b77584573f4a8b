//! Deadlines: the point in time after which the reply to a request is of no use.
//!
//! A [`Deadline`] is a point on this process's monotonic clock. Between processes it travels as the header
//! `grpc-timeout`, which holds the time left and not the end, so that a skew between clocks does not matter.
//! [`ServerDeadlineLayer`] turns the header into the request extension [`Deadline`] and enforces it on the handler;
//! [`ClientDeadlineLayer`] takes the extension of an outgoing request and enforces it on the call, including all waits.
//!
//! Both answer `DEADLINE_EXCEEDED`, and never CANCELLED, which is the status of tonic's own timers.
//!
//! # Layout
//!
//! ```text
//! instant.rs       Deadline
//! grpc_timeout.rs  the codec of the header
//! received.rs      when a request was received, if that is not when its deadline is looked at
//! timer.rs         the wait for a deadline, which layers and bodies share
//! server.rs        ServerDeadlineLayer
//!   request_limit.rs   the deadline of one request, and who set it
//!   body.rs            ends a reply that streams past the deadline
//! client.rs        ClientDeadlineLayer
//!   call_limit.rs      the deadline of one call
//!   expiry.rs          tells an expired call from a cancelled one
//!   body.rs            ends a reply that stalls past the deadline
//! ```

mod client;
mod grpc_timeout;
mod instant;
mod received;
mod server;
mod timer;

#[cfg(feature = "fuzzing")]
pub(crate) use self::grpc_timeout::encode as encode_timeout;
pub use self::{
    client::{ClientDeadline, ClientDeadlineBody, ClientDeadlineFuture, ClientDeadlineLayer},
    grpc_timeout::{GRPC_TIMEOUT, InvalidGrpcTimeout, from_headers as timeout_of},
    instant::Deadline,
    server::{ServerDeadline, ServerDeadlineFuture, ServerDeadlineLayer},
};
pub(crate) use self::{grpc_timeout::client_timeout, received::Received};
