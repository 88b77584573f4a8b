//! Services under attack: raw HTTP/2 frames beside honest callers, who must not notice.
//!
//! Each attack is made on each service where it applies, and asserts that honest calls are served, that the service and its
//! backends take little memory, and that they log a few warnings at most. `attacks` also asserts that honest calls take
//! twice as long at most as without the attack; its tests run alone. Other attacks print how long they take, and have a
//! generous bound: the attacker, the service and its backends share the processors of this machine.
//!
//! # Layout
//!
//! * `frames`: HTTP/2 frames, and gRPC requests in them.
//! * `attacker`: a connection that sends frames as a test needs.
//! * `honest`: a caller with one call after the other, and what it observes; `crowd`: callers with a steady rate.
//! * `target`: the services that are attacked; `victim`: one of them under attack.
//! * `attack`: an attack beside a crowd, and what comes of it; `attacks`: all that are measured so.
//! * `floods`, `silence`, `shares`, `streams`, `admin`, `process`: other attacks; `bursts`: honest callers that look like them.
//! * `malformed`: requests that are not gRPC, with the answer to each.
//! * `exclusive`: lets tests that measure time run alone.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod admin;
mod attack;
mod attacker;
mod attacks;
mod bursts;
mod crowd;
mod exclusive;
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
