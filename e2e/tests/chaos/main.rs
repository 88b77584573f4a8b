//! What callers see while backends fail: real processes, thousands of calls, every status counted.
//!
//! `cargo test -p e2e --test chaos -- --nocapture` prints a line of docs/reliability.md's table for each case.
//!
//! # Layout
//!
//! * `fleet`: a gateway in front of a user service and some country services, each a process.
//! * `callers`: callers that go on until they are told to stop, and what they saw.
//! * `fake`: a backend that answers as a test wants, where no real one would.
//! * `lost`, `broken`, `failing`, `slow`, `names`: the cases.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

mod broken;
mod callers;
mod failing;
mod fake;
mod fleet;
mod lost;
mod names;
mod slow;
