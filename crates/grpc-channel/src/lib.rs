//! A gRPC client channel over HTTP/2 that survives what production does to it.
//!
//! A [`Channel`] resolves its targets' names, keeps connections to every endpoint, and sends each call to the best of
//! them: balanced by pending requests, ejecting outliers, retrying within a budget, hedging late calls, opening a circuit
//! breaker, and holding every wait to the call's deadline.
//!
//! # Layout
//!
//! Imports run from top to bottom; a call goes the same way down to the socket.
//!
//! * [`channel`]: [`Channel`] and its [`Builder`], what users hold.
//! * [`target`]: the URLs of a backend.
//! * [`config`]: plain settings with documented defaults.
//! * `stack`: the tower stack of one backend, whole and in order.
//! * `policy`: what happens to the whole call: `deadline`, `coalesce`, `retry` (with `backoff` and `budget`), `hedge`.
//! * `balance`: which endpoint an attempt goes to: `balancer`, `replica`, `attempt`.
//! * `endpoints`: the `set` of them, each `endpoint`'s state, `outlier_detection`, the `resolver`, and the
//!   `connect_loop` that asks each for its `health`.
//! * `transport`: one HTTP/2 `connection`, the `pool` of them to one endpoint, and gRPC's `framing`.
//! * [`call`]: what the stack carries; [`error`]: why a call has no reply; `metrics`: what is counted.

mod backoff;
pub mod call;
pub mod channel;
pub mod config;
pub mod error;
mod metrics;
#[cfg(test)]
mod mock;
mod stack;
pub mod target;

/// What happens to the whole call.
mod policy {
    pub(crate) mod budget;
    pub(crate) mod coalesce;
    pub(crate) mod deadline;
    pub(crate) mod hedge;
    pub(crate) mod retry;
}

/// Which endpoint an attempt goes to.
mod balance {
    pub(crate) mod attempt;
    pub(crate) mod balancer;
    pub(crate) mod replica;
}

/// Where a backend can be reached, and how each endpoint is.
mod endpoints {
    pub(crate) mod connect_loop;
    pub(crate) mod endpoint;
    pub(crate) mod health;
    pub(crate) mod outlier_detection;
    pub(crate) mod resolver;
    pub(crate) mod set;
}

/// Pool, and gRPC's framing on them.
mod transport {
    pub(crate) mod connection;
    pub(crate) mod framing;
    pub(crate) mod pool;
}

pub use self::{
    call::Method,
    channel::{Builder, Channel},
    config::{Config, HedgeAfter, ReplyCheck},
    error::{Cause, Failure, Pushback},
    target::{InvalidTarget, Target},
};
