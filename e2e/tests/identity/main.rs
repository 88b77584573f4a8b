//! Who may call: a gateway with keys, tokens and policies, over the wire.
//!
//! # Layout
//!
//! * `edge`: the gateway under test, its files, and calls to it.
//! * `issuer`: signs tokens, and serves its public keys.
//! * `keys`, `tokens`, `certificates`, `policy`: credentials that are right and wrong, and that change while the gateway
//!   runs.
//! * `rates`: rate limits by identity and by address.
//! * `strangers`: what callers without an identity may not do.
//! * `audit`: the audit log, and that no log has a secret.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod audit;
mod certificates;
mod edge;
mod issuer;
mod keys;
mod policy;
mod rates;
mod strangers;
mod tokens;
