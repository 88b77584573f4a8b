//! What the commands that call the gateway share.
//!
//! # Layout
//!
//! * [`request`]: the flags that describe a request, and its messages.
//! * [`delay`]: the value of `--delay`; [`baggage`]: the header that it fills.
//! * [`address`]: where the gateway is, and connections to it; [`gateway_check`]: whether it is a gateway.
//! * [`report`], [`rpc_error`]: the gateway's reply in the types of this crate.

pub mod address;
pub mod baggage;
pub mod delay;
pub mod gateway_check;
pub mod report;
pub mod request;
pub mod rpc_error;
