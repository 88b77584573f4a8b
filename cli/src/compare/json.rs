//! The document of `fanout compare --json`.
//!
//! One object. All durations are numbers of milliseconds; all names are stable.
//!
//! ```json
//! {
//!   "gateway": "http://127.0.0.1:50051", "method": "GetProfile", "user": "ada",
//!   "runs": [{
//!     "strategy": "sequential",
//!     "waited_ms": 6004.1,
//!     "code": "OK", "message": null,
//!     "report": {
//!       "trace_id": "0af7651916cd43dd8448eb211c80319c",
//!       "wall_ms": 6002.5, "total_ms": 6002.4, "saved_ms": 0, "avoidable_ms": 3000.9,
//!       "calls": [{
//!         "name": "user", "method": "fanout.user.v1.UserService/GetUser",
//!         "state": "ok", "code": null, "message": null,
//!         "start_ms": 0, "duration_ms": 3001.2, "attempts": 1,
//!         "hedges": 0, "hedge_won": false, "critical": false
//!       }]
//!     }
//!   }],
//!   "verdict": "joining saves 3.00 s: 6.00 s in turn, 3.00 s together"
//! }
//! ```
//!
//! * `strategy`: `sequential`, `concurrent` or `spawned`.
//! * `waited_ms`: how long the caller waited, by its own clock; all times of the report are the gateway's.
//! * `code`, `message`: how the RPC ended; `message` is null with `OK`.
//! * `report`: null if there is none. The report of a failed RPC is from its trailers.
//! * `state`: `ok`, `failed`, `cancelled`, `skipped` or `unknown`; `code` and `message` of a
//!   call are set with `failed`, `start_ms` and `duration_ms` are null with `skipped`.

use serde::Serialize;

use rpc_layers::trace::code_name;

use crate::{
    compare::{run::Run, verdict::verdict},
    gateway_client::{
        report::{Call, CallState, Report},
        request::RequestArgs,
    },
    terminal::{duration_format::milliseconds, style::Style},
};

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    gateway: String,
    method: &'static str,
    user: String,
    runs: Vec<RunDocument<'a>>,
    verdict: String,
}

#[derive(Debug, Serialize)]
struct RunDocument<'a> {
    strategy: &'static str,
    waited_ms: f64,
    code: &'static str,
    message: Option<&'a str>,
    report: Option<ReportDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct ReportDocument<'a> {
    trace_id: &'a str,
    wall_ms: f64,
    total_ms: f64,
    saved_ms: f64,
    avoidable_ms: f64,
    calls: Vec<CallDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct CallDocument<'a> {
    name: &'a str,
    method: &'a str,
    state: &'static str,
    code: Option<&'static str>,
    message: Option<&'a str>,
    start_ms: Option<f64>,
    duration_ms: Option<f64>,
    attempts: u32,
    hedges: u32,
    hedge_won: bool,
    critical: bool,
}

// === impl Document ===

impl<'a> Document<'a> {
    /// Creates the document of these runs.
    pub fn new(request: &RequestArgs, runs: &'a [Run]) -> Self {
        Self {
            gateway: request.options.gateway.to_string(),
            method: request.method.rpc(),
            user: request.user.to_string(),
            runs: runs.iter().map(RunDocument::new).collect(),
            verdict: verdict(runs, Style::PLAIN),
        }
    }
}

impl<'a> RunDocument<'a> {
    fn new(run: &'a Run) -> Self {
        let error = run.result.as_ref().err();
        Self {
            strategy: run.strategy.name(),
            waited_ms: milliseconds(run.waited),
            code: error.map_or("OK", |error| code_name(error.code)),
            message: error.map(|error| error.message.as_str()),
            report: run.report().map(ReportDocument::new),
        }
    }
}

impl<'a> ReportDocument<'a> {
    fn new(report: &'a Report) -> Self {
        Self {
            trace_id: &report.trace_id,
            wall_ms: milliseconds(report.wall),
            total_ms: milliseconds(report.total),
            saved_ms: milliseconds(report.saved),
            avoidable_ms: milliseconds(report.avoidable),
            calls: report.calls.iter().map(CallDocument::new).collect(),
        }
    }
}

impl<'a> CallDocument<'a> {
    fn new(call: &'a Call) -> Self {
        let (code, message) = match &call.state {
            CallState::Failed { code, message } => (Some(*code), Some(message.as_str())),
            CallState::Ok | CallState::Cancelled | CallState::Skipped | CallState::Unknown => (None, None),
        };
        let ran = call.state != CallState::Skipped;
        Self {
            name: &call.name,
            method: &call.method,
            state: call.state.word(),
            code,
            message,
            start_ms: ran.then(|| milliseconds(call.start)),
            duration_ms: ran.then(|| milliseconds(call.duration)),
            attempts: call.attempts,
            hedges: call.hedges,
            hedge_won: call.hedge_won,
            critical: call.critical,
        }
    }
}
