//! tonic's generated client on `grpc-channel`, as strangers use it: against stock tonic servers in the same process,
//! proxies that break connections, and servers that break the protocol.
//!
//! # Layout
//!
//! * [`echo`]: messages, client and server of the test contract.
//! * [`server`]: the contract on a stock tonic server; [`log`]: what its handlers saw.
//! * [`proxy`]: a proxy that cuts, stops or resets what it forwards.
//! * [`raw`]: a server over h2 itself, for what tonic's server does not do.
//!
//! The tests are in `tests/channel`.

pub mod log;
pub mod proxy;
pub mod raw;
pub mod server;

/// The descriptors of the contract: an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// The package `echo.v1`.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
pub mod echo {
    tonic::include_proto!("echo.v1");
}
