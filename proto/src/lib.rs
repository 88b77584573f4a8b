//! The gRPC contract of fanout and the code generated from it.
//!
//! # Layout
//!
//! * [`user`]: messages, client and server of the user service.
//! * [`country`]: messages and client of the country service, and, in
//!   [`country::v1::spliced`], its server.
//! * [`gateway`]: messages and client of the aggregator, and, in
//!   [`gateway::v1::spliced`], its server.
//! * [`encoded`]: a message that is kept as its bytes, so that the gateway can pass
//!   a service's reply on without decoding it.
//! * [`user_id`]: the form of a user's id, which both gateway and user service check.

pub mod encoded;
pub mod user_id;

pub use encoded::Encoded;

/// The descriptors of the whole contract with its comments, as gRPC server
/// reflection serves them: an encoded `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fanout.binpb"));

/// Users and how to find, list and create them.
pub mod user {
    /// Version 1 of the package `fanout.user`.
    #[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/fanout.user.v1.rs"));
    }
}

/// The countries of ISO 3166-1.
pub mod country {
    /// Version 1 of the package `fanout.country`.
    #[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/fanout.country.v1.rs"));

        /// The server's side: the same messages on the wire, in which the list of all
        /// countries is [`Encoded`](crate::Encoded). It never changes, so that a server
        /// encodes it once; an answer costs a reference count and one copy of the bytes.
        pub mod spliced {
            include!(concat!(env!("OUT_DIR"), "/spliced/fanout.country.v1.rs"));
        }
    }
}

/// The aggregator in front of the services.
pub mod gateway {
    /// Version 1 of the package `fanout.gateway`.
    #[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/fanout.gateway.v1.rs"));

        /// The server's side: the same messages on the wire, in which the services'
        /// replies are [`Encoded`](crate::Encoded) instead of decoded.
        pub mod spliced {
            include!(concat!(env!("OUT_DIR"), "/spliced/fanout.gateway.v1.rs"));
        }
    }
}
