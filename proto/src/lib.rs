//! The gRPC contract of fanout and the code generated from it.
//!
//! # Layout
//!
//! One module for each package of the contract, such as [`user::v1`]: its messages, its client and its server; beside
//! them, such as [`user::v1::spliced`], a server whose replies are passed on as bytes. `build.rs` documents what is
//! generated; no file of this crate names a package. Then:
//!
//! * [`codec`]: the codec of the generated code, whose errors have their cause.
//! * [`encoded`]: a message that is kept as its bytes, so that the gateway can pass a service's reply on without
//!   decoding it.
//! * [`server`]: answers the RPCs of the generated servers, unary ones without needless copies.
//! * [`user_id`]: the form of a user's id, which both gateway and user service check.

pub mod codec;
pub mod encoded;
pub mod server;
pub mod user_id;

pub use encoded::Encoded;

/// The descriptors of the whole contract with its comments, as gRPC server reflection serves them: an encoded
/// `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fanout.binpb"));

include!(concat!(env!("OUT_DIR"), "/contract.rs"));
