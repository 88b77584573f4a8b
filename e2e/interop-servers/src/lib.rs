//! gRPC's interop test cases, run by tonic's generated client against servers whose runtime is not
//! written in Rust: `grpcio` for Python and `@grpc/grpc-js` for Node.
//!
//! # Layout
//!
//! * [`channel`]: the client channel under test. The only place to change for another one.
//! * [`case`]: the cases by name.
//! * [`server`]: a server process and where its runtime is installed.
//! * [`testing`]: messages and client of gRPC's test contract.
//!
//! `tests/interop.rs` runs each case against each server; the binary prints the same as a table.

pub mod case;
pub mod channel;
pub mod server;

/// The descriptors of gRPC's test contract: an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// The package `grpc.testing`.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
pub mod testing {
    tonic::include_proto!("grpc.testing");
}
