//! Converts reports of fan-outs to the contract's message.

use std::time::Duration;

use fan_out::{CallError, CallState, Report};
use fanout_proto::gateway::v1 as proto;
use rpc_layers::trace::current_trace_id;

use crate::{
    error::{BackendError, call_status},
    request,
};

/// Converts a report, and adds the id of the current trace. `error` returns the error of the call with an index.
pub(crate) fn to_proto<'a>(
    report: &Report,
    error: impl Fn(usize) -> Option<&'a CallError<BackendError>>,
) -> proto::FanOutReport {
    let calls = report.calls.iter().enumerate().map(|(index, call)| {
        let error = error(index).filter(|_| call.state == CallState::Failed);
        proto::CallReport {
            name: call.name.clone().into_owned(),
            method: call.method.clone().into_owned(),
            state: state(call.state).into(),
            error: error.map(|error| call_status(&call.name, error)),
            start: call.time.map(|time| duration(time.start)),
            duration: call.time.map(|time| duration(time.duration)),
            attempts: call.attempts,
            hedges: call.hedges,
            hedge_won: call.hedge_won,
            critical: call.critical,
        }
    });
    proto::FanOutReport {
        calls: calls.collect(),
        trace_id: current_trace_id().unwrap_or_default(),
        strategy: request::to_proto(report.strategy).into(),
        wall_time: Some(duration(report.wall)),
        total_time: Some(duration(report.total)),
        saved_time: Some(duration(report.saved)),
        avoidable_time: Some(duration(report.avoidable)),
    }
}

fn state(state: CallState) -> proto::CallState {
    match state {
        CallState::Ok => proto::CallState::Ok,
        CallState::Failed => proto::CallState::Failed,
        CallState::Cancelled => proto::CallState::Cancelled,
        CallState::Skipped => proto::CallState::Skipped,
    }
}

fn duration(duration: Duration) -> prost_types::Duration {
    // Only durations of more than 292 thousand million years do not fit.
    prost_types::Duration::try_from(duration).unwrap_or_default()
}
