//! What the page's run panel needs of a gateway. Who starts the viewer knows the gateway's contract; here its requests
//! and replies are JSON.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use serde_json::Value;

/// A gateway that the page can send requests to.
pub trait Gateway: fmt::Debug + Send + Sync + 'static {
    /// Returns its URL.
    fn url(&self) -> String;

    /// Returns what it has: its backends, strategies, policies, and some users.
    fn describe(&self) -> BoxFuture<'_, Result<Value, GatewayError>>;

    /// Sends requests, and returns how they went. Failed requests are no error. Dropping the future cancels them.
    fn act(&self, action: Action, body: Value) -> BoxFuture<'_, Result<Value, GatewayError>>;
}

/// A gateway that can be shared.
pub type SharedGateway = Arc<dyn Gateway>;

/// What the page asks of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// One request, or several at once.
    Run,
    /// The same with each strategy.
    Compare,
    /// The experiment of one of the questions, from 1.
    Question(u8),
}

/// Why nothing could be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayError {
    /// A field of the body cannot be used.
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong, what was given and what is allowed.
        message: String,
    },
    /// There is no such action.
    Unknown(String),
    /// Nothing answers as a gateway, or it rejects every request.
    Unreachable(String),
}
