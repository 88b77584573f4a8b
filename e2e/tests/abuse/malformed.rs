//! Requests that are wrong in one way each, and the answer to each: at every service.
//!
//! # Layout
//!
//! * `grpc`: requests in correct HTTP/2 that are no gRPC, or not what the method takes.
//! * `http2`: frames and headers that HTTP/2 does not allow.

mod grpc;
mod http2;
