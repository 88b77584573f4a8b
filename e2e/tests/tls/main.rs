//! TLS between real processes: who gets in, who does not and learns why, and certificates that are replaced under load.
//!
//! # Layout
//!
//! * `fleet`: a gateway and its backends with certificates of one authority, each a process.
//! * `caller`: a caller of the gateway with a certificate.
//! * `mutual`, `rotation`, `refused`, `resumed`, `offered`, `stalled`: the cases.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod caller;
mod fleet;
mod mutual;
mod offered;
mod refused;
mod resumed;
mod rotation;
mod stalled;
