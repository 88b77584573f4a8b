//! How requests of the panel went, as JSON. Durations are numbers of nanoseconds.

use std::time::Duration;

use rpc_layers::trace::code_name;
use serde_json::{Value, json};

use crate::{
    call,
    compare::run::Run,
    gateway_client::{
        report::{Call, CallState, Report},
        request::{DEFAULT_TIMEOUT, FailurePolicy, Method, RequestArgs, Strategy, positive_duration},
    },
    terminal::{program, shell::word},
};

/// Returns a run.
pub(super) fn run(run: &Run, method: Method) -> Value {
    let error = run.result.as_ref().err();
    let report = run.report().cloned().unwrap_or_default();
    json!({
        "trace_id": report.trace_id,
        "strategy": report.strategy.unwrap_or(run.strategy).name(),
        "ok": error.is_none(),
        "code": error.map_or("OK", |error| code_name(error.code)),
        "message": error.map_or("", |error| error.message.as_str()),
        "waited": nanos(run.waited),
        "wall": nanos(report.wall),
        "total": nanos(report.total),
        "saved": nanos(report.saved),
        "avoidable": nanos(report.avoidable),
        "calls": calls(&report, method),
    })
}

fn calls(report: &Report, method: Method) -> Vec<Value> {
    report.calls.iter().enumerate().map(|(index, each)| call_document(each, index, method)).collect()
}

fn call_document(call: &Call, index: usize, method: Method) -> Value {
    let message = match &call.state {
        CallState::Failed { code, message } => Some(format!("{code}: {message}")),
        CallState::Ok | CallState::Cancelled | CallState::Skipped | CallState::Unknown => None,
    };
    json!({
        "name": call.name,
        "method": call.method,
        "start_offset": nanos(call.start),
        "duration": nanos(call.duration),
        "state": call.state.word(),
        "message": message,
        "critical": call.critical,
        // The calls of a chain have its number: each needs the reply of the one before.
        "chain": match method {
            Method::GetProfile => index,
            Method::GetHomeCountry => 0,
        },
    })
}

/// Returns the commands that make the same request. `strategies` are those that were run.
pub(super) fn commands(request: &RequestArgs, strategies: &[Strategy]) -> Value {
    let grpcurl = call::grpcurl(request, strategies.first().copied().filter(|_| strategies.len() == 1));
    json!({"fanout": fanout(request, strategies), "grpcurl": grpcurl})
}

fn fanout(request: &RequestArgs, strategies: &[Strategy]) -> String {
    let options = &request.options;
    let mut words = vec![program::name(), "compare".to_owned()];
    let mut flag = |name: &str, value: &str| words.extend([format!("--{name}"), word(value)]);
    if request.method == Method::GetHomeCountry {
        flag("method", "get-home-country");
    }
    flag("user", &request.user.to_string());
    if strategies.len() < Strategy::ALL.len() {
        flag("strategy", &strategies.iter().map(|strategy| strategy.name()).collect::<Vec<_>>().join(","));
    }
    match options.failure_policy {
        Some(FailurePolicy::FailFast) => flag("failure-policy", "fail-fast"),
        Some(FailurePolicy::BestEffort) => flag("failure-policy", "best-effort"),
        None => {}
    }
    for entry in &options.baggage {
        flag("baggage", &entry.to_string());
    }
    if positive_duration(DEFAULT_TIMEOUT) != Ok(options.timeout) {
        flag("timeout", &humantime::format_duration(options.timeout).to_string().replace(' ', ""));
    }
    flag("gateway", &options.gateway.to_string());
    if let Some(authority) = &options.tls.tls_ca {
        flag("tls-ca", &authority.display().to_string());
    }
    words.join(" ")
}

/// Returns a duration in nanoseconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
