//! Annotations for a workflow on GitHub: lines that begin with `::warning` or `::error`.

use overlap::{Span, Value, text as words};

use super::report::Report;
use crate::terminal::{duration_format::human, text_layout::printable};

/// The findings that are annotated; GitHub shows ten of a step.
const MAX_ANNOTATIONS: usize = 10;

/// Returns an error for each operation and trace above the limit, and a warning for each other finding.
pub(super) fn annotations(report: &Report<'_>) -> String {
    let mut lines = Vec::new();
    for line in report.inputs.problem_lines() {
        lines.push(annotation("error", "Broken trace", None, &line));
    }
    let most = report.max_avoidable.map(human).unwrap_or_default();
    for operation in report.operations_above() {
        let message = format!("above {most}: {}", words::operation(operation));
        lines.push(annotation("error", "Avoidable waiting", None, &message));
    }
    for it in report.traces_above().into_iter().take(MAX_ANNOTATIONS) {
        let avoidable = human(it.analysis.avoidable());
        let message = format!("above {most}: {}: {avoidable} avoidable, trace {}", it.title(), it.trace.id());
        lines.push(annotation("error", "Avoidable waiting", None, &message));
    }
    let mut count = 0;
    for it in report.worst() {
        for (parent, sequence) in it.sequences() {
            if count < MAX_ANNOTATIONS {
                let sentence = words::sequence(&it.trace, sequence);
                let names = words::names(&it.trace, &sequence.calls);
                let message = format!("{}: {names}: {sentence} Trace {}", it.label(parent), it.trace.id());
                let place = sequence.calls.iter().find_map(|call| Place::of(it.trace.span(*call)));
                let place = place.or_else(|| Place::of(it.trace.span(parent)));
                lines.push(annotation("warning", "Calls in turn", place.as_ref(), &message));
            }
            count += 1;
        }
    }
    if count > MAX_ANNOTATIONS {
        let message = format!("{} more sequences of calls save less", count - MAX_ANNOTATIONS);
        lines.push(annotation("notice", "Calls in turn", None, &message));
    }
    if lines.is_empty() {
        let traces = report.traces.len();
        lines.push(annotation("notice", "fanout analyze", None, &format!("nothing to join in {traces} traces")));
    }
    lines.join("\n") + "\n"
}

/// A line of source code, as OpenTelemetry's attributes name it.
struct Place<'a> {
    file: &'a str,
    line: Option<i64>,
}

// === impl Place ===

impl<'a> Place<'a> {
    fn of(span: &'a Span) -> Option<Self> {
        let text = |key| span.attribute(key).and_then(Value::as_text);
        let number = |key| match span.attribute(key) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        };
        let file = text("code.file.path").or_else(|| text("code.filepath"))?;
        Some(Self { file, line: number("code.line.number").or_else(|| number("code.lineno")) })
    }
}

fn annotation(level: &str, title: &str, place: Option<&Place<'_>>, message: &str) -> String {
    let mut properties = Vec::new();
    if let Some(Place { file, line }) = place {
        properties.push(format!("file={}", property(file)));
        properties.extend(line.map(|line| format!("line={line}")));
    }
    properties.push(format!("title={}", property(title)));
    format!("::{level} {}::{}", properties.join(","), data(message))
}

/// Escapes a message as GitHub's runner reads it; other control characters are written out.
fn data(text: &str) -> String {
    printable(&text.replace(['\r', '\n'], " ")).replace('%', "%25")
}

/// Escapes the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_is_a_command() {
        let place = Place { file: "a,b:c.py", line: Some(7) };
        let line = annotation("warning", "a: b", Some(&place), "100%\n::error::x\u{1b}");
        assert_eq!(line, "::warning file=a%2Cb%3Ac.py,line=7,title=a%3A b::100%25 ::error::x\\u{1b}");
    }
}
