//! The services behind the gateway.
//!
//! # Layout
//!
//! * `backend`: [`Backend`], one service: its channel, its name in errors and reports.
//! * `users`, `countries`: a typed client for each service.
//! * `args`: the settings.

mod args;
mod countries;
mod users;

use std::time::Duration;

use fan_out::Attempts;
use fanout_proto::{Encoded, encoded::check};
use futures::{FutureExt as _, future::BoxFuture};
use grpc_channel::{Channel, Config, Method, Target};
use opentelemetry::metrics::Meter;
use prost::Message;
use rpc_layers::CallContext;

pub use self::{args::BackendArgs, countries::Countries, users::Users};
use crate::error::BackendError;

/// A service behind the gateway.
///
/// Clones share its channel.
#[derive(Clone, Debug)]
pub struct Backend {
    name: &'static str,
    channel: Channel,
}

/// The reply to come of a backend: its bytes, or why there are none.
pub type Reply<R> = BoxFuture<'static, Result<Encoded<R>, BackendError>>;

// === impl Backend ===

impl Backend {
    /// Connects to the service `name` at these targets. `deadline` bounds calls whose reply several requests share. Records
    /// metrics if `meter` is given.
    ///
    /// # Panics
    ///
    /// Panics if there is no target, or outside of a tokio runtime.
    pub fn connect(
        name: &'static str,
        targets: &[Target],
        args: &BackendArgs,
        deadline: Duration,
        meter: Option<&Meter>,
    ) -> Self {
        let config = Config { reply_check: |bytes| Ok(check(bytes)?), ..args.config(name, deadline) };
        let channel = Channel::builder(name, targets.iter().cloned()).expect("settings hold at least one target");
        Self { name, channel: channel.config(config).meter(meter.cloned()).connect() }
    }

    /// Returns its name in reports and errors, such as `user`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until an endpoint is connected and serving. Cancel safe.
    pub async fn ready(&self) {
        self.channel.ready().await;
    }

    /// Calls a method, and leaves the reply as the bytes it came as.
    ///
    /// Dropping the future resets the call at the backend.
    fn call<Q, R>(&self, method: Method, message: &Q, ctx: &CallContext, attempts: &Attempts) -> Reply<R>
    where
        Q: Message,
        R: 'static,
    {
        let this = self.clone();
        let reply = self.channel.unary(method, message.encode_to_vec().into(), ctx, attempts);
        let reply = reply.map(move |result| match result {
            // The channel has checked it.
            Ok(bytes) => Ok(Encoded::from_checked(bytes)),
            Err(failure) => Err(BackendError::new(this.name, this.channel.targets(), &failure)),
        });
        reply.boxed()
    }
}
