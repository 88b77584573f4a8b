//! The generated code of the contract.

#![allow(clippy::pedantic, missing_docs, unreachable_pub, dead_code, reason = "generated")]

/// The descriptors of the contract: an encoded `google.protobuf.FileDescriptorSet`.
pub(crate) const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

tonic::include_proto!("shop.v1");
