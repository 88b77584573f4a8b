//! TLS as gRPC needs it, with rustls: version 1.3, ALPN `h2`, and PEM files that are read again when they change.
//!
//! # Layout
//!
//! Imports run from top to bottom:
//!
//! * [`server`]: [`ServerTls`] accepts connections. [`client`]: [`ClientTls`] makes them.
//! * [`own_server`]: connects to the server that has the same certificate, to ask it for its health.
//! * `client_verifier`: which client certificates a server accepts; [`names`]: the names in a certificate, and which of
//!   them may connect.
//! * [`handshake_error`]: why a connection has no TLS, in plain words.
//! * [`reload`]: values that are made again when their files change.
//! * `pem`: certificates, keys and authorities in PEM files; [`file_error`]: why one cannot be used.
//! * `provider`: the one crypto provider, and the one version of TLS.

pub mod client;
mod client_verifier;
pub mod file_error;
pub mod handshake_error;
pub mod names;
pub mod own_server;
mod pem;
mod provider;
pub mod reload;
pub mod server;

pub use rustls::pki_types::ServerName;

pub use self::{
    client::{ClientFiles, ClientTls},
    file_error::{FileError, FileRole},
    handshake_error::HandshakeError,
    names::{AllowedName, InvalidName},
    server::{Refused, ServerFiles, ServerTls},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
