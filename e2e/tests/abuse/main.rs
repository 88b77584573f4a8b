//! Services under attack: raw HTTP/2 frames beside an honest caller, who must not notice.
//!
//! Each attack is made on each service where it applies, and asserts that every honest call is served, that the service
//! and its backends take little memory, and that it logs a few warnings at most. How long an honest call takes is printed,
//! and asserted only with a generous bound: the attacker, the service and its backends share the processors of this
//! machine.
//!
//! # Layout
//!
//! * `frames`: HTTP/2 frames, and gRPC requests in them.
//! * `attacker`: a connection that sends frames as a test needs.
//! * `honest`: a caller with one call after the other, and what it observes.
//! * `target`: the services that are attacked; `victim`: one of them under attack.
//! * `floods`, `silence`, `shares`, `streams`, `admin`, `process`: attacks; `bursts`: honest callers that look like them.
//! * `malformed`: requests that are not gRPC, with the answer to each.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod admin;
mod attacker;
mod bursts;
mod floods;
mod frames;
mod honest;
mod malformed;
mod process;
mod shares;
mod silence;
mod streams;
mod target;
mod victim;
