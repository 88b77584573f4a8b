//! Runs for unit tests.

use std::time::Duration;

use tonic::Code;

use crate::{
    compare::run::Run,
    gateway_client::{
        report::{Call, CallState, Report},
        request::Strategy,
        rpc_error::RpcError,
    },
};

pub(super) fn call(name: &str, start: u64, duration: u64) -> Call {
    Call {
        name: name.to_owned(),
        method: String::new(),
        state: CallState::Ok,
        start: Duration::from_millis(start),
        duration: Duration::from_millis(duration),
        attempts: 1,
        hedges: 0,
        hedge_won: false,
        critical: false,
    }
}

pub(super) fn critical(call: Call) -> Call {
    Call { critical: true, ..call }
}

pub(super) fn ended(state: CallState, call: Call) -> Call {
    Call { state, ..call }
}

pub(super) fn not_found() -> CallState {
    CallState::Failed { code: "NOT_FOUND", message: "no user \"x\"".to_owned() }
}

pub(super) fn report(calls: Vec<Call>) -> Report {
    let wall = calls.iter().map(Call::end).max().unwrap_or_default();
    let total: Duration = calls.iter().map(|call| call.duration).sum();
    let longest = calls.iter().map(|call| call.duration).max().unwrap_or_default();
    let (saved, avoidable) = (total.saturating_sub(wall), wall.saturating_sub(longest));
    Report {
        strategy: None,
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        wall,
        total,
        saved,
        avoidable,
        calls,
    }
}

pub(super) fn run(strategy: Strategy, calls: Vec<Call>) -> Run {
    let report = report(calls);
    Run { strategy, waited: report.wall + Duration::from_millis(8), result: Ok(Some(report)) }
}

pub(super) fn profile() -> Vec<Run> {
    vec![
        run(Strategy::Sequential, vec![call("user", 0, 3000), critical(call("country", 3000, 3000))]),
        run(Strategy::Concurrent, vec![call("user", 0, 3000), critical(call("country", 0, 3004))]),
    ]
}

pub(super) fn failure() -> Vec<Run> {
    let calls = vec![
        ended(not_found(), call("user", 0, 1200)),
        critical(ended(CallState::Cancelled, call("country", 0, 1250))),
        ended(CallState::Skipped, call("language", 0, 0)),
        Call { attempts: 2, hedges: 1, hedge_won: true, ..call("flag", 100, 300) },
    ];
    let message = "no user \"x\" is known to the service, which has looked in all of its places".to_owned();
    let error = RpcError { code: Code::NotFound, message, report: Some(report(calls)) };
    vec![Run { strategy: Strategy::Concurrent, waited: Duration::from_millis(1260), result: Err(error) }]
}

/// A chain of two calls, each of this many milliseconds.
pub(super) fn chain(strategy: Strategy, millis: u64) -> Run {
    let mut report = report(vec![call("user", 0, millis), call("country", millis, millis)]);
    report.avoidable = Duration::ZERO;
    Run { strategy, waited: report.wall, result: Ok(Some(report)) }
}

/// A run that failed without a report.
pub(super) fn unreachable() -> Run {
    let error = RpcError { code: Code::Unavailable, message: "gone".to_owned(), report: None };
    Run { strategy: Strategy::Spawned, waited: Duration::ZERO, result: Err(error) }
}
