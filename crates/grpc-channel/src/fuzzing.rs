//! Private parts for `e2e/fuzz`: no part of the API.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    Config, ServiceConfig, Target,
    method_policy::MethodPolicy,
    transport::framing::{self, Deframer, joined, message},
};

/// What a service config allows the calls of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodLimits {
    /// How often a call is sent again after a failure.
    pub retries: u32,
    /// How often a call is sent while none has failed.
    pub hedges: u32,
    /// The longest wait before each retry, without jitter.
    pub longest_waits: Vec<Duration>,
    /// The longest wait before any retry, without jitter.
    pub max_wait: Duration,
    /// Everything that the config sets.
    pub all: String,
}

/// The messages in the data of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deframed {
    /// The messages.
    pub messages: Vec<Bytes>,
    /// How many bytes follow that are in no message.
    pub rest: usize,
    /// Why there is no further message.
    pub error: Option<String>,
}

/// Returns the messages of a stream that arrives in these pieces.
pub fn deframe(pieces: &[&[u8]]) -> Deframed {
    let mut deframer = Deframer::default();
    let (mut messages, mut error) = (Vec::new(), None);
    for piece in pieces {
        deframer.push(piece);
        while error.is_none() {
            match deframer.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(status) => error = Some(status.message().to_owned()),
            }
        }
    }
    Deframed { messages, rest: deframer.rest(), error }
}

/// Returns the data of a unary reply that arrives in these pieces.
pub fn collect(pieces: &[&[u8]]) -> Bytes {
    pieces.iter().fold(Bytes::new(), |data, piece| joined(data, piece))
}

/// Returns the message of a unary reply that arrives in these pieces.
///
/// # Errors
///
/// Returns why there is none.
pub fn unary(pieces: &[&[u8]]) -> Result<Bytes, &'static str> {
    message(collect(pieces))
}

/// Encodes a message with its prefix.
pub fn frame(message: &[u8]) -> Bytes {
    framing::frame(&message.to_vec())
}

/// Returns where a target is connected to.
pub fn host_and_port(target: &Target) -> (&str, u16) {
    (target.host(), target.port())
}

// === impl MethodLimits ===

impl MethodLimits {
    /// Returns what the config allows the calls of the method at this path.
    pub fn of(config: &ServiceConfig, path: &str) -> Self {
        let policy = config.policy(path, &MethodPolicy::of(&Config::default()));
        let MethodPolicy { retry, hedge, .. } = policy;
        Self {
            retries: retry.max_retries,
            hedges: hedge.max_attempts,
            longest_waits: (1..=retry.max_retries + 1)
                .map(|retry_number| retry.backoff.longest(retry_number))
                .collect(),
            max_wait: retry.backoff.max,
            all: format!("{policy:?} {:?}", config.retry_throttling()),
        }
    }
}
