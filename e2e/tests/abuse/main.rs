//! A service under attack: raw HTTP/2 frames beside an honest caller, who must not notice.
//!
//! # Layout
//!
//! * `frames`: HTTP/2 frames, and gRPC requests in them.
//! * `attacker`: a connection that sends frames as a test needs.
//! * `honest`: a caller with one call after the other, and what it observes.
//! * `victim`: the service under attack, and how much memory and processor time it took.
//! * `floods`, `silence`, `streams`: attacks; `bursts`: honest callers that look like them.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod attacker;
mod bursts;
mod floods;
mod frames;
mod honest;
mod silence;
mod streams;
mod victim;
