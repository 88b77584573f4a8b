//! The gateway's report on a request, in the types of this program.

use std::time::Duration;

use fanout_proto::gateway::v1 as proto;
use tonic::Code;

use rpc_layers::trace::code_name;

use crate::gateway_client::request::Strategy;

/// How the calls of one request overlapped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The id of the request's trace.
    pub trace_id: String,
    /// The strategy that ran, if this program knows it.
    pub strategy: Option<Strategy>,
    /// From the first call's start to the last call's end.
    pub wall: Duration,
    /// The sum of the calls' durations.
    pub total: Duration,
    /// The time that overlapping saved.
    pub saved: Duration,
    /// The time that joining would still save.
    pub avoidable: Duration,
    /// The calls, in the order of the request.
    pub calls: Vec<Call>,
}

/// A call to a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The backend, such as "user".
    pub name: String,
    /// The method, such as "fanout.user.v1.UserService/GetUser".
    pub method: String,
    /// How it ended.
    pub state: CallState,
    /// When it started, since the start of the fan-out. Zero if it was never started.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// How many times it was sent.
    pub attempts: u32,
    /// How many of the attempts were hedges.
    pub hedges: u32,
    /// Whether the reply came from a hedge.
    pub hedge_won: bool,
    /// Whether it ended last.
    pub critical: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState {
    /// The backend replied with OK.
    Ok,
    /// The backend replied with an error, too late or not at all.
    Failed {
        /// The name of the gRPC status code.
        code: &'static str,
        /// What went wrong.
        message: String,
    },
    /// Stopped, because another call failed.
    Cancelled,
    /// Never started, because another call failed first.
    Skipped,
    /// A state that this program does not know.
    Unknown,
}

// === impl Report ===

impl Report {
    /// Returns whether two calls ran at the same time.
    pub fn overlaps(&self) -> bool {
        let mut ran: Vec<_> = self.calls.iter().filter(|call| call.state != CallState::Skipped).collect();
        ran.sort_by_key(|call| call.start);
        ran.windows(2).any(|pair| pair[1].start < pair[0].end())
    }

    /// Counts the calls by state, such as "2 ok" or "1 ok, 1 failed".
    pub fn counts(&self) -> String {
        count_states(&self.calls)
    }
}

impl From<proto::FanOutReport> for Report {
    fn from(report: proto::FanOutReport) -> Self {
        Self {
            strategy: Strategy::of(report.strategy()),
            trace_id: report.trace_id,
            wall: duration(report.wall_time),
            total: duration(report.total_time),
            saved: duration(report.saved_time),
            avoidable: duration(report.avoidable_time),
            calls: report.calls.into_iter().map(Call::from).collect(),
        }
    }
}

/// Counts the calls by state, in words.
pub fn count_states<'a>(calls: impl IntoIterator<Item = &'a Call>) -> String {
    let words: Vec<&str> = calls.into_iter().map(|call| call.state.word()).collect();
    let counts = CallState::WORDS.map(|word| (words.iter().filter(|other| **other == word).count(), word));
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

// === impl Call ===

impl Call {
    /// Returns when it ended, since the start of the fan-out.
    pub fn end(&self) -> Duration {
        self.start.saturating_add(self.duration)
    }
}

impl From<proto::CallReport> for Call {
    fn from(call: proto::CallReport) -> Self {
        let state = match call.state() {
            proto::CallState::Ok => CallState::Ok,
            proto::CallState::Failed => {
                let error = call.error.unwrap_or_default();
                CallState::Failed { code: code_name(Code::from_i32(error.code)), message: error.message }
            }
            proto::CallState::Cancelled => CallState::Cancelled,
            proto::CallState::Skipped => CallState::Skipped,
            proto::CallState::Unspecified => CallState::Unknown,
        };
        Self {
            name: call.name,
            method: call.method,
            state,
            start: duration(call.start),
            duration: duration(call.duration),
            attempts: call.attempts,
            hedges: call.hedges,
            hedge_won: call.hedge_won,
            critical: call.critical,
        }
    }
}

// === impl CallState ===

impl CallState {
    /// All values of [`CallState::word`].
    pub const WORDS: [&str; 5] = ["ok", "failed", "cancelled", "skipped", "unknown"];

    /// Returns the state as a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }
}

/// Converts a duration of the contract. A negative one becomes zero.
fn duration(duration: Option<prost_types::Duration>) -> Duration {
    duration.and_then(|duration| duration.try_into().ok()).unwrap_or_default()
}
