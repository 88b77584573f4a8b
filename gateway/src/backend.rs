//! The services behind the gateway, and what a call to each goes through.
//!
//! # Layout
//!
//! * `backend`: [`Backend`], one service: its name, its URLs, its stack.
//! * `users`, `countries`: a typed client for each service.
//! * `args`: the settings.
//! * `stack`: the tower stack, whole and in order. What it is made of, from the outside in:
//!   `deadline`, `coalesce`, `retry` (with `backoff` and `budget`), `hedge`, `balance`, `replica`, `attempt`.
//! * `discovery` resolves names into replicas; `roster` knows which there are, `member` how each is;
//!   `ejection` decides which are left out; `keeper` keeps one connected, by `connections` of `connection` each, and asks
//!   it for its `health`; `exchange` is gRPC's framing on a connection's streams.
//! * `call`: what the stack carries; `failure`: why it brings back no reply; `meters`: what it counts.

mod args;
mod attempt;
mod backoff;
mod balance;
mod budget;
mod call;
mod coalesce;
mod connection;
mod connections;
mod countries;
mod deadline;
mod discovery;
mod ejection;
mod exchange;
pub(crate) mod failure;
mod health;
mod hedge;
mod keeper;
mod member;
mod meters;
#[cfg(test)]
mod puppet;
mod replica;
mod retry;
mod roster;
mod stack;
mod users;

use std::{fmt, sync::Arc, time::Duration};

use fan_out::Attempts;
use fanout_proto::Encoded;
use futures::{FutureExt as _, future::BoxFuture};
use http::Uri;
use prost::Message;
use rpc_layers::CallContext;
use tower::ServiceExt as _;

pub(crate) use self::call::Method;
pub use self::{args::BackendArgs, countries::Countries, hedge::HedgeAfter, users::Users};
use self::{
    call::UnaryCall,
    failure::{Cause, Failure},
    meters::Meters,
    roster::Roster,
    stack::Stack,
};
use crate::error::BackendError;

/// A service behind the gateway, of one replica or many.
///
/// Clones share all of it.
#[derive(Clone)]
pub struct Backend {
    about: Arc<About>,
    stack: Stack,
    roster: Arc<Roster>,
}

/// What a failed call is told apart by.
#[derive(Debug)]
struct About {
    name: &'static str,
    urls: String,
    meters: Meters,
}

/// The reply to come of a backend: its bytes, or why there are none.
pub type Reply<R> = BoxFuture<'static, Result<Encoded<R>, BackendError>>;

// === impl Backend ===

impl Backend {
    /// The service of this name at these URLs, of which there is at least one. Connects at once, and again whenever a
    /// connection is lost. `deadline` bounds calls whose answer several requests share.
    ///
    /// Needs a tokio runtime.
    pub fn connect(name: &'static str, urls: &[Uri], args: &BackendArgs, deadline: Duration) -> Self {
        let (roster, meters) = (Arc::new(Roster::new(args.max_ejected.share().into())), Meters::new(name));
        meters.watch_replicas(&roster);
        let stack = stack::stack(name, urls, args, deadline, &roster, &meters);
        let shown = |url: &Uri| url.to_string().trim_end_matches('/').to_owned();
        let urls = urls.iter().map(shown).collect::<Vec<_>>().join(", ");
        Self { about: Arc::new(About { name, urls, meters }), stack, roster }
    }

    /// Its name in reports and errors, such as `user`.
    pub fn name(&self) -> &'static str {
        self.about.name
    }

    /// Waits until a replica is connected and serving. Says meanwhile what it waits for.
    pub async fn ready(&self) {
        let mut changes = self.roster.changes();
        let mut said = None;
        while !self.roster.is_ready() {
            let reason = self.roster.unreachable();
            if let Some(reason) = reason.filter(|reason| said.as_ref() != Some(reason)) {
                tracing::info!(backend = self.about.name, url = %self.about.urls, %reason, "waiting for a service");
                said = Some(reason);
            }
            // The roster sends for as long as it lives.
            let _ = changes.changed().await;
        }
    }

    /// Calls a method, and leaves the reply as the bytes it came as.
    ///
    /// Dropping the future resets the call at the backend.
    fn call<Q, R>(&self, method: Method, message: &Q, handed_on: &CallContext, attempts: &Attempts) -> Reply<R>
    where
        Q: Message,
        R: 'static,
    {
        let call = UnaryCall::new(method, message.encode_to_vec().into(), handed_on.clone(), attempts.clone());
        let (about, answer) = (Arc::clone(&self.about), self.stack.clone().oneshot(call));
        let answer = answer.map(move |result| match result {
            Ok(reply) => Ok(reply.cast()),
            Err(failure) => Err(about.error(&failure)),
        });
        answer.boxed()
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("about", &self.about).finish_non_exhaustive()
    }
}

// === impl About ===

impl About {
    fn error(&self, failure: &Failure) -> BackendError {
        match failure.cause {
            Cause::Shed => self.meters.shed(),
            Cause::CircuitOpen => self.meters.rejected(),
            _ => {}
        }
        BackendError::new(self.name, &self.urls, failure)
    }
}
