//! A JUnit report: a test for each operation and each trace above the limit, and one for each input.

use overlap::{Operation, text as words};

use super::{report::Report, xml::escape};
use crate::terminal::duration_format::human;

/// Returns the document.
pub(super) fn document(report: &Report<'_>) -> String {
    let inputs: Vec<_> = report.inputs.list.iter().map(|input| input_case(&input.name, &input.lines())).collect();
    let operations: Vec<_> = report.shown().iter().map(|operation| operation_case(report, operation)).collect();
    // Those that are fine are many, and say nothing.
    let traces = report.traces_above().into_iter().map(|it| {
        let avoidable = it.analysis.avoidable();
        let message = format!("{} avoidable, at most {} are allowed", human(avoidable), limit(report));
        let sentences = words::verdict(&it.trace, &it.analysis).join("\n");
        let name = format!("trace {}", it.trace.id());
        case(&it.title(), &name, it.wall().as_secs_f64(), &failure(&message, &sentences))
    });
    let traces: Vec<_> = traces.collect();
    let suites = [("inputs", inputs), ("operations", operations), ("traces", traces)];
    let suites: Vec<_> =
        suites.iter().filter(|(_, cases)| !cases.is_empty()).map(|(name, cases)| suite(name, cases)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"fanout analyze\">\n{}</testsuites>\n",
        suites.concat()
    )
}

fn suite(name: &str, cases: &[String]) -> String {
    let count = |element: &str| cases.iter().filter(|case| case.contains(element)).count();
    let (failures, errors) = (count("<failure "), count("<error "));
    format!(
        "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\">\n{}  </testsuite>\n",
        cases.len(),
        cases.concat()
    )
}

fn input_case(name: &str, problems: &[String]) -> String {
    let first = problems
        .first()
        .map(|first| format!("<error message=\"{}\" type=\"BrokenInput\">{}</error>", escape(first), lines(problems)));
    case("input", name, 0.0, &first.unwrap_or_default())
}

fn operation_case(report: &Report<'_>, operation: &Operation) -> String {
    let mut sentences = vec![words::operation(operation)];
    sentences.extend(operation.findings.iter().map(words::finding));
    let body = if report.exceeds(operation.avoidable.p95) {
        let avoidable = human(operation.avoidable.p95);
        let message = format!("{avoidable} avoidable (p95), at most {} are allowed", limit(report));
        failure(&message, &sentences.join("\n"))
    } else {
        format!("<system-out>{}</system-out>", lines(&sentences))
    };
    case(&operation.service, &operation.name, operation.wall.p50.as_secs_f64(), &body)
}

fn failure(message: &str, text: &str) -> String {
    let text: Vec<_> = text.lines().map(str::to_owned).collect();
    format!("<failure message=\"{}\" type=\"Avoidable\">{}</failure>", escape(message), lines(&text))
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n")
}

fn limit(report: &Report<'_>) -> String {
    report.max_avoidable.map(human).unwrap_or_default()
}

fn case(class: &str, name: &str, seconds: f64, body: &str) -> String {
    let (class, name) = (escape(class), escape(name));
    format!("    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">{body}</testcase>\n")
}
