//! The operations, from the one that would gain most by joining.

use overlap::{Operation, Percentiles, Reason, text};
use serde_json::{Value, json};

use crate::api::{Context, traces::nanos};

/// How many operations are listed.
const MAX: usize = 200;

/// Returns the document of `/api/operations`. `dropped` is the number of requests of operations that were forgotten.
pub(super) fn document(context: &Context) -> Value {
    let all = context.analyst.operations();
    let operations: Vec<Value> = all.iter().take(MAX).map(operation).collect();
    json!({"operations": operations, "total": all.len(), "dropped": context.analyst.operations_dropped()})
}

fn operation(operation: &Operation) -> Value {
    json!({
        "service": &*operation.service,
        "name": &*operation.name,
        "count": operation.count,
        "wall": percentiles(operation.wall),
        "avoidable": percentiles(operation.avoidable),
        "saved_per_day": nanos(operation.saved_per_day),
        "certainty": operation.certainty.as_str(),
        "because": because(operation.because),
        "findings": operation.findings.iter().map(text::finding).collect::<Vec<_>>(),
    })
}

fn percentiles(Percentiles { p50, p95 }: Percentiles) -> Value {
    json!({"p50": nanos(p50), "p95": nanos(p95)})
}

/// Returns what shows it, in a few words.
fn because(reason: Reason) -> String {
    let traces = |traces: u32| {
        if traces == 1 { "1 trace".to_owned() } else { format!("{} traces", text::number(traces.into())) }
    };
    match reason {
        Reason::Chain => "the program says that one call needs the other".to_owned(),
        Reason::Link => "a link shows that one call needs the other".to_owned(),
        Reason::Overlapped { traces: seen } => format!("they ran at the same time in {}", traces(seen)),
        Reason::WithoutParameters => "the later call reads without parameters".to_owned(),
        Reason::AwaitedInTurn { traces: seen } => {
            format!("each started as soon as the one before had ended, in all of {}", traces(seen))
        }
        Reason::Nothing => "nothing shows whether one call needs the other".to_owned(),
    }
}
