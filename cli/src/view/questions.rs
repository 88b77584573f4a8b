//! The four questions, each answered by requests that are made now.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use viewer::gateway::GatewayError;

use crate::{
    compare::run::Run,
    gateway_client::request::{Method, Strategy},
    services,
    view::{
        run_document::{self, nanos},
        run_panel::{RunPanel, at_once, documents},
        run_request::RunRequest,
    },
};

/// How long each call takes: long enough for the network's time not to matter, short enough to wait for.
const DELAY: Duration = Duration::from_secs(1);

/// How far from what is expected a measurement may be: a share of one call.
const TOLERANCE: Duration = Duration::from_millis(200);

/// A question, and the requests that answer it.
#[derive(Debug)]
struct Question {
    claim: &'static str,
    expected: &'static str,
    /// In calls.
    expected_calls: u32,
    method: Method,
    strategy: Strategy,
    callers: usize,
    /// Another strategy to run first, for what it would be without joining.
    before: Option<Strategy>,
}

const QUESTIONS: [Question; 4] = [
    Question {
        claim: "Two calls that are awaited one after the other take as long as both together.",
        expected: "2 calls of 1 s, in turn: 2 s",
        expected_calls: 2,
        method: Method::GetProfile,
        strategy: Strategy::Sequential,
        callers: 1,
        before: None,
    },
    Question {
        claim: "Two calls that are joined take as long as the slower one.",
        expected: "2 calls of 1 s, joined: 1 s",
        expected_calls: 1,
        method: Method::GetProfile,
        strategy: Strategy::Concurrent,
        callers: 1,
        before: None,
    },
    Question {
        claim: "Two requests at once do not wait for each other, even if each awaits its calls one after the other.",
        expected: "2 requests at once, each with 2 calls of 1 s in turn: 2 s, not 4 s",
        expected_calls: 2,
        method: Method::GetProfile,
        strategy: Strategy::Sequential,
        callers: 2,
        before: None,
    },
    Question {
        claim: "Joining is right if no call needs the reply of another: a chain gains nothing.",
        expected: "2 calls of 1 s, of which the second needs the first: 2 s, joined or not",
        expected_calls: 2,
        method: Method::GetHomeCountry,
        strategy: Strategy::Concurrent,
        callers: 1,
        before: Some(Strategy::Sequential),
    },
];

/// Runs the experiment of a question, from 1.
pub(super) async fn answer(panel: &RunPanel, number: u8) -> Result<Value, GatewayError> {
    let question = usize::from(number).checked_sub(1).and_then(|index| QUESTIONS.get(index));
    let Some(question) = question else {
        return Err(GatewayError::Unknown(format!("there is no question {number}: expected 1 to {}", QUESTIONS.len())));
    };
    let delay = humantime::format_duration(DELAY).to_string();
    let backends: serde_json::Map<String, Value> =
        services::backends().map(|service| (service.short_name().to_owned(), json!({"delay": delay}))).collect();
    let mut run = RunRequest::parse(json!({"backends": backends, "callers": question.callers}), panel.options())?;
    run.request.method = question.method;
    let channel = panel.connect().await?;
    let mut runs: Vec<Run> = Vec::new();
    if let Some(strategy) = question.before {
        runs.extend(at_once(&channel, &run, strategy).await?);
    }
    let begun = Instant::now();
    let last = at_once(&channel, &run, question.strategy).await?;
    let measured = begun.elapsed();
    runs.extend(last);
    let expected = DELAY * question.expected_calls;
    let all_ok = runs.iter().all(|run| run.result.is_ok());
    let holds = all_ok && measured.abs_diff(expected) <= TOLERANCE;
    let strategies: Vec<_> = question.before.into_iter().chain([question.strategy]).collect();
    Ok(json!({
        "claim": question.claim,
        "expected": {"text": question.expected, "duration": nanos(expected)},
        "measured": {"text": measured_text(measured, all_ok), "duration": nanos(measured)},
        "holds": holds,
        "runs": documents(&runs, &run),
        "commands": run_document::commands(&run.request, &strategies),
    }))
}

fn measured_text(measured: Duration, all_ok: bool) -> String {
    let failed = if all_ok { "" } else { ", and a request failed" };
    format!("{:.2} s{failed}", measured.as_secs_f64())
}
