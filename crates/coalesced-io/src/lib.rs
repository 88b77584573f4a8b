//! A stream for HTTP/2 connections that gathers what many calls write, and writes it at once.
//!
//! h2 flushes its stream after each frame of 256 bytes and more: each reply of a server is a system call of its own, and so
//! is its end. What is written to a [`CoalescedIo`] while its connection is polled stays in a buffer. [`Flusher`] polls the
//! connection, and writes the buffer when the connection has nothing more to add; if other tasks may add to it, once they
//! have run.
//!
//! # Layout
//!
//! Imports run from top to bottom:
//!
//! * `flusher`: [`Flusher`] polls the connection. `io`: [`CoalescedIo`] is the connection's stream.
//! * `shared`: what both of them use: the stream and its buffers.
//! * `deferral`: when a write waits for other tasks.
//! * `write_buffer`, `read_buffer`: the buffers, and what is kept of errors.
//! * `spare`: memory that idle connections do not hold.

mod deferral;
mod flusher;
mod io;
mod read_buffer;
mod shared;
mod spare;
mod write_buffer;

pub use self::{flusher::Flusher, io::CoalescedIo};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
