//! What callers observe while backends fail: real processes, thousands of calls, every status counted.
//!
//! `cargo test -p e2e --test chaos -- --nocapture` prints a line of the table in docs/reliability.md for each case.
//!
//! # Layout
//!
//! * `fleet`: a gateway in front of replicas of the country service and one of each other backend, each a process.
//! * `callers`: callers that call without a pause until they are stopped, and what they observe.
//! * `fake`: servers that misbehave as a test needs.
//! * `lost`, `broken`, `failing`, `slow`, `names`: the cases.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod broken;
mod callers;
mod failing;
mod fake;
mod fleet;
mod lost;
mod names;
mod slow;
