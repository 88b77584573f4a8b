//! What the gateway reports of a request, in the types of this program.

use std::time::Duration;

use fanout_proto::gateway::v1 as proto;
use tonic::Code;

use service_kit::trace::code_name;

/// How the calls of one request overlapped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The request's trace, for the trace viewer.
    pub trace_id: String,
    /// From the first call's start to the last call's end.
    pub wall: Duration,
    /// The sum of the calls' durations.
    pub total: Duration,
    /// What overlapping saved.
    pub saved: Duration,
    /// What joining would still save.
    pub avoidable: Duration,
    /// The calls in the order in which the request names them.
    pub calls: Vec<Call>,
}

/// One call to a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Such as "user".
    pub name: String,
    /// Such as "fanout.user.v1.UserService/GetUser".
    pub method: String,
    /// How it ended.
    pub state: CallState,
    /// When it started, since the fan-out began. Zero where it never did.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// How often it was sent.
    pub attempts: u32,
    /// How many of them were hedges.
    pub hedges: u32,
    /// Whether a hedge answered.
    pub hedge_won: bool,
    /// Whether it ended last.
    pub critical: bool,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState {
    /// The service answered.
    Ok,
    /// The service answered with an error, or not in time, or not at all.
    Failed {
        /// The gRPC status code's name.
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
    /// Whether two calls ran at the same time at some moment.
    pub fn overlaps(&self) -> bool {
        let mut ran: Vec<_> = self.calls.iter().filter(|call| call.state != CallState::Skipped).collect();
        ran.sort_by_key(|call| call.start);
        ran.windows(2).any(|pair| pair[1].start < pair[0].end())
    }

    /// How many calls ended in which way: "2 ok" or "1 ok, 1 failed".
    pub fn counts(&self) -> String {
        count_states(&self.calls)
    }
}

impl From<proto::FanOutReport> for Report {
    fn from(report: proto::FanOutReport) -> Self {
        Self {
            trace_id: report.trace_id,
            wall: duration(report.wall_time),
            total: duration(report.total_time),
            saved: duration(report.saved_time),
            avoidable: duration(report.avoidable_time),
            calls: report.calls.into_iter().map(Call::from).collect(),
        }
    }
}

/// How many of the calls ended in which way, in words.
pub fn count_states<'a>(calls: impl IntoIterator<Item = &'a Call>) -> String {
    let words: Vec<&str> = calls.into_iter().map(|call| call.state.word()).collect();
    let counts = CallState::WORDS.map(|word| (words.iter().filter(|other| **other == word).count(), word));
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

// === impl Call ===

impl Call {
    /// When it ended, since the fan-out began.
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
    /// All words of [`CallState::word`].
    pub const WORDS: [&str; 5] = ["ok", "failed", "cancelled", "skipped", "unknown"];

    /// The state in a word.
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

/// A duration of the wire. A negative one is nothing: no clock of a report runs backwards.
fn duration(duration: Option<prost_types::Duration>) -> Duration {
    duration.and_then(|duration| duration.try_into().ok()).unwrap_or_default()
}
