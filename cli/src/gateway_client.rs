//! What the commands that call the gateway share.
//!
//! # Layout
//!
//! * [`request`]: the flags that describe a request, and its messages.
//! * [`credentials`]: the API key that requests carry.
//! * [`delay`]: the value of `--delay`; [`baggage`]: the header that it fills.
//! * [`address`]: where the gateway is; [`connector`]: connections to it; [`gateway_check`]: whether it is a gateway.
//! * [`tls`]: the flags for a gateway with TLS; `tls_problem`: what is wrong with it, and what to do about it;
//!   `observed_stream`: remembers such a problem.
//! * [`report`], [`rpc_error`]: the gateway's reply in the types of this crate.

pub mod address;
pub mod baggage;
pub mod connector;
pub mod credentials;
pub mod delay;
pub mod gateway_check;
mod observed_stream;
pub mod report;
pub mod request;
pub mod rpc_error;
pub mod tls;
mod tls_problem;
