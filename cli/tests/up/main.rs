//! `fanout up` as its user sees it: on a terminal, through a pipe, and at its end.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "clippy recognizes tests by their attribute only")]

mod client;
mod pipe;
#[path = "../screen/mod.rs"]
mod screen;
mod terminal;
mod tls;
