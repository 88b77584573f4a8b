//! tonic's generated client on `grpc-channel`.
//!
//! # Layout
//!
//! * `calls`, `streams`, `flow`: what goes there and back; `deadlines`: when it ends.
//! * `idempotency`, `service_config`: what is sent again; `limits`: what is counted, balanced and judged; `blame`: what is not.
//! * `faults`: many `callers` while servers break; `metrics`: reads a channel's own.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod blame;
mod callers;
mod calls;
mod deadlines;
mod faults;
mod flow;
mod idempotency;
mod limits;
mod metrics;
mod service_config;
mod streams;

use std::{fmt::Display, time::Duration};

use channel_tests::{
    FILE_DESCRIPTOR_SET,
    echo::{EchoRequest, echo_service_client::EchoServiceClient},
};
use grpc_channel::{Builder, Cause, Channel, Config, Descriptors, Failure, ServiceConfig};
use tonic::Status;

type Client = EchoServiceClient<Channel>;

/// Longer than any wait for an event takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Begins a channel to these servers that knows the contract.
fn builder<U: Display>(urls: &[U]) -> Builder {
    let descriptors = Descriptors::decode(FILE_DESCRIPTOR_SET).unwrap();
    Channel::builder("echo", urls.iter().map(ToString::to_string)).unwrap().descriptors(descriptors)
}

/// Returns a client of these servers once one of them is ready.
async fn client<U: Display>(urls: &[U], config: Config) -> Client {
    connected(builder(urls).config(config)).await
}

/// Returns a client of these servers with this service config.
async fn configured<U: Display>(urls: &[U], config: Config, service_config: &str) -> Client {
    let service_config = ServiceConfig::from_json(service_config).unwrap();
    connected(builder(urls).config(config).service_config(service_config)).await
}

async fn connected(builder: Builder) -> Client {
    let channel = builder.connect();
    event("a server is ready", channel.ready()).await;
    EchoServiceClient::new(channel)
}

/// Settings under which a server that stops is found out soon.
fn quick() -> Config {
    Config { keepalive: Duration::from_millis(200), keepalive_timeout: Duration::from_millis(300), ..Config::default() }
}

/// Waits for an event that is sure to come.
async fn event<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, event).await.unwrap_or_else(|_| panic!("{what}: it did not happen"))
}

/// Returns where the call failed.
fn cause(status: &Status) -> Cause {
    Failure::find_in(status).unwrap_or_else(|| panic!("{status:?} is not the channel's")).cause
}

/// Returns whether a server may have seen the call.
fn seen(status: &Status) -> bool {
    Failure::find_in(status).unwrap_or_else(|| panic!("{status:?} is not the channel's")).may_have_been_seen()
}

/// A request with this text.
fn text(text: &str) -> EchoRequest {
    EchoRequest { text: text.to_owned(), ..EchoRequest::default() }
}

/// A request of a call that never ends by itself.
fn hanging() -> EchoRequest {
    EchoRequest { hangs: true, ..EchoRequest::default() }
}
