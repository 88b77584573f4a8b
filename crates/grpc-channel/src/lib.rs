//! A gRPC client channel for tonic that survives what production does to it.
//!
//! A [`Channel`] resolves its targets' names, keeps connections to its endpoints, and sends each call to the best of
//! them: balanced by pending calls, ejecting outliers, retrying within a budget, hedging late calls, opening a circuit
//! breaker, and holding every wait to the call's deadline. It takes the place of tonic's `Channel` under generated clients.
//!
//! ```
//! use std::time::Duration;
//!
//! use grpc_channel::{Channel, Config, Failure};
//! use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config { retries: 3, ..Config::default() };
//! let channel = Channel::builder("users", ["http://127.0.0.1:9", "http://127.0.0.1:10"])?.config(config).connect();
//! let mut client = HealthClient::new(channel); // any client that tonic generates
//!
//! let mut request = tonic::Request::new(HealthCheckRequest::default());
//! request.set_timeout(Duration::from_secs(1));
//! // Nobody listens there.
//! let status = client.check(request).await.unwrap_err();
//! assert_eq!(status.code(), tonic::Code::Unavailable);
//! let failure = Failure::find_in(&status).ok_or("the status is the channel's")?;
//! assert!(!failure.may_have_been_seen());
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Imports run from top to bottom; a call goes the same way down to the socket.
//!
//! * [`channel`]: [`Channel`] and its [`Builder`], what users hold.
//! * [`target`]: the URLs of a backend. [`config`]: plain settings with documented defaults.
//! * [`service_config`]: gRPC's JSON document for the same by method. [`descriptors`]: what the contract says about methods.
//! * `methods`: the methods with all of that, resolved once: each a `method` with its `method_policy`.
//! * `stack`: the tower stack of one backend, whole and in order.
//! * `policy`: what happens to the whole call: `deadline`, `coalesce`, `limit`, `breaker`, `retry` and `hedge` with their
//!   `budget`.
//! * `balance`: which endpoint an attempt goes to: `balancer` with its `power_of_two`, `replica`, `attempt`.
//! * `endpoints`: the `set` of them with a `snapshot` of what follows from their states, each `endpoint`'s state,
//!   `outlier_detection`, the `resolver` with its `subset`, and the `connect_loop` that watches each one's `health`.
//! * `transport`: one HTTP/2 `connection`, the `pool` of them to one endpoint, and on their streams `request`, `response`,
//!   `collect`, which reads whole replies, and gRPC's `framing`.
//! * `call` with its `request_body`, and `reply`: what the stack carries down and up; `observe`: tells each `observer` how a
//!   call ended; [`error`]: why a call has no reply; `evidence`: what that shows about the backend; `metrics`: what is
//!   counted; `backoff`, `code_set`, `excerpt`.

mod backoff;
#[cfg(feature = "benches")]
#[doc(hidden)]
pub mod benches;
mod call;
pub mod channel;
mod code_set;
pub mod config;
pub mod descriptors;
pub mod error;
mod evidence;
mod excerpt;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod method;
mod method_policy;
mod methods;
mod metrics;
#[cfg(test)]
mod mock;
mod observe;
mod observer;
mod reply;
mod request_body;
pub mod service_config;
mod stack;
pub mod target;

/// What happens to the whole call.
mod policy {
    pub(crate) mod breaker;
    pub(crate) mod budget;
    pub(crate) mod coalesce;
    pub(crate) mod deadline;
    pub(crate) mod hedge;
    pub(crate) mod limit;
    pub(crate) mod retry;
    mod rotating_histogram;
}

/// Which endpoint an attempt goes to.
mod balance {
    pub(crate) mod attempt;
    pub(crate) mod balancer;
    mod power_of_two;
    pub(crate) mod replica;
}

/// Where a backend can be reached, and the state of each endpoint.
mod endpoints {
    pub(crate) mod connect_loop;
    pub(crate) mod endpoint;
    mod health;
    pub(crate) mod outlier_detection;
    pub(crate) mod resolver;
    pub(crate) mod set;
    pub(crate) mod snapshot;
    pub(crate) mod subset;
}

/// Connections, and gRPC's framing on them.
mod transport {
    mod borrowers;
    mod collect;
    pub(crate) mod connection;
    pub(crate) mod framing;
    pub(crate) mod pool;
    pub(crate) mod request;
    pub(crate) mod response;
}

pub use fan_out::Attempts;
pub use grpc_tls::{self as tls, ClientFiles, ClientTls};

pub use self::{
    channel::{Builder, Channel},
    config::{Config, HedgeAfter, ReplyCheck},
    descriptors::{Descriptors, InvalidDescriptors},
    error::{Cause, Failure, Pushback},
    method::Method,
    reply::ResponseBody,
    service_config::{InvalidServiceConfig, ServiceConfig},
    target::{InvalidTarget, Target},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
