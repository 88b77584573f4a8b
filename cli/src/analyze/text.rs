//! For people: the operations, the worst trace of each as a drawing, what was found, and what to change.

use std::time::Duration;

use overlap::text as words;

use super::{
    report::{Analyzed, Dropped, Report},
    sentence::wrap_sentence,
    waterfall::waterfall,
};
use crate::terminal::{
    capabilities::Terminal,
    style::{Role, Style},
    text_layout::{align, counted, cut, grouped, printable},
};

/// The findings that are shown of an operation.
const MAX_FINDINGS: usize = 3;
/// The problems that are shown of a trace.
const MAX_PROBLEMS: usize = 5;
/// The traces and operations above the limit that are named.
const MAX_ABOVE: usize = 10;

/// Returns the whole text.
pub(super) fn text(report: &Report<'_>, terminal: Terminal) -> String {
    let mut page = Page { lines: Vec::new(), terminal };
    if report.traces.len() > 1 {
        page.operations(report);
    }
    let mut has_advice = (false, false);
    for it in report.worst() {
        page.trace(it, report.traces.len() > 1);
        for (_, sequence) in it.sequences() {
            let (join, batch) = &mut has_advice;
            *if sequence.repeated.is_some() { batch } else { join } = true;
        }
    }
    page.advice(has_advice);
    page.dropped(report);
    page.limit(report);
    page.lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// The lines so far.
struct Page {
    lines: Vec<String>,
    terminal: Terminal,
}

// === impl Page ===

impl Page {
    fn style(&self) -> Style {
        self.terminal.style
    }

    fn blank(&mut self) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
    }

    /// Adds a sentence, whose further lines are indented.
    fn sentence(&mut self, role: Option<Role>, text: &str, indent: usize) {
        let text = wrap_sentence(&self.in_charset(&printable(text)), self.terminal.width, indent);
        for line in text.lines() {
            self.lines.push(role.map_or_else(|| line.to_owned(), |role| self.style().paint(role, line)));
        }
    }

    fn in_charset(&self, text: &str) -> String {
        if self.style().glyph("µ", "u") == "u" {
            text.replace('µ', "u").replace('…', "...")
        } else {
            text.to_owned()
        }
    }

    /// Adds the operations, ranked.
    fn operations(&mut self, report: &Report<'_>) {
        let spans: usize = report.traces.iter().map(|it| it.trace.spans().len()).sum();
        let (traces, operations) = (report.traces.len() as u64, report.operations.len() as u64);
        let heading = format!(
            "{} of {} with {}, from what joining would save most:",
            counted(operations, "operation"),
            counted(traces, "trace"),
            counted(spans as u64, "span")
        );
        self.sentence(Some(Role::Heading), &heading, 0);
        for operation in report.shown() {
            self.sentence(None, &format!("  {}", words::operation(operation)), 4);
            for finding in operation.findings.iter().take(MAX_FINDINGS) {
                self.sentence(Some(Role::Quiet), &format!("    {}", words::finding(finding)), 6);
            }
        }
        let more = report.operations.len() - report.shown().len();
        if more > 0 {
            let text = format!("  and {}: --limit shows them", counted(more as u64, "more operation"));
            self.sentence(Some(Role::Quiet), &text, 4);
        }
    }

    /// Adds a trace: its heading, the drawing, the figures, the verdict.
    fn trace(&mut self, it: &Analyzed, is_one_of_many: bool) {
        self.blank();
        let style = self.style();
        let spans = counted(it.trace.spans().len() as u64, "span");
        let title = format!("{}  {}  {spans}", printable(&it.title()), style.duration(it.wall()));
        self.sentence(Some(Role::Heading), &title, 2);
        let worst = if is_one_of_many { ", the worst" } else { "" };
        self.sentence(Some(Role::Quiet), &format!("trace {}{worst}", it.trace.id()), 2);
        self.lines.extend(waterfall(it, self.terminal.width, style));
        let legend = format!("{} the critical path", style.glyph("█ ◆", "# *"));
        self.sentence(Some(Role::Quiet), &legend, 0);
        self.figures(it);
        self.blank();
        for sentence in words::verdict(&it.trace, &it.analysis) {
            self.sentence(None, &sentence, 2);
        }
        let problems = it.trace.problems();
        for problem in problems.iter().take(MAX_PROBLEMS) {
            self.sentence(Some(Role::Quiet), &format!("note: {problem}"), 2);
        }
    }

    /// Adds the figures of the spans whose calls took longest.
    fn figures(&mut self, it: &Analyzed) {
        let style = self.style();
        let mut fan_outs: Vec<_> = it.analysis.fan_outs().iter().filter(|fan_out| fan_out.calls.len() > 1).collect();
        fan_outs.sort_by_key(|fan_out| std::cmp::Reverse((fan_out.avoidable, fan_out.wall)));
        fan_outs.truncate(MAX_ABOVE);
        if fan_outs.is_empty() {
            return;
        }
        self.blank();
        let header = ["calls of", "calls", "wall", "sum", "saved", "avoidable"].map(str::to_owned).to_vec();
        let mut rows = vec![header];
        for fan_out in fan_outs {
            let label =
                cut(&printable(&it.label(fan_out.parent)), self.terminal.width.saturating_sub(48).max(8), style);
            let duration = |duration: Duration| style.duration(duration);
            rows.push(vec![
                label,
                grouped(fan_out.calls.len() as u64),
                duration(fan_out.wall),
                duration(fan_out.sum),
                duration(fan_out.saved),
                duration(fan_out.avoidable),
            ]);
        }
        self.lines.extend(align(&rows, 2));
    }

    /// Says what to change.
    fn advice(&mut self, (join, batch): (bool, bool)) {
        if join || batch {
            self.blank();
        }
        if join {
            let text = "To change it: start the calls that need nothing of one another together, and wait for all of them: \
                        asyncio.gather, Promise.all, tokio::join!, errgroup.";
            self.sentence(None, text, 2);
        }
        if batch {
            let text = "Calls that repeat: ask for all items in one call, or make them together.";
            self.sentence(None, text, 2);
        }
    }

    /// Says what does not count, because memory is bounded.
    fn dropped(&mut self, report: &Report<'_>) {
        let Dropped { requests, pairs } = report.dropped;
        if requests > 0 || pairs > 0 {
            self.blank();
        }
        if requests > 0 {
            let kept = counted(report.operations.len() as u64, "operation");
            let text = format!(
                "note: {} of other operations left out: {kept} kept, those seen again and again first",
                counted(requests, "request")
            );
            self.sentence(Some(Role::Quiet), &text, 2);
        }
        if pairs > 0 {
            let text = format!(
                "note: {} of calls left out: whether they ever ran at the same time is not known",
                counted(pairs, "pair")
            );
            self.sentence(Some(Role::Quiet), &text, 2);
        }
    }

    /// Names what is above the limit.
    fn limit(&mut self, report: &Report<'_>) {
        let Some(most) = report.max_avoidable else { return };
        self.blank();
        let style = self.style();
        let most = style.short_duration(most);
        if !report.is_exceeded() {
            return self.sentence(None, &format!("No trace and no operation has more than {most} avoidable."), 2);
        }
        let (operations, traces) = (report.operations_above(), report.traces_above());
        let counts = format!(
            "More than {most} avoidable: {}, {}",
            counted(operations.len() as u64, "operation"),
            counted(traces.len() as u64, "trace")
        );
        self.sentence(Some(Role::Bad), &counts, 2);
        for operation in operations.iter().take(MAX_ABOVE) {
            let avoidable = style.duration(operation.avoidable.p95);
            let text = format!("  operation {}: {}: {avoidable} (p95)", operation.service, operation.name);
            self.sentence(None, &text, 4);
        }
        for it in traces.iter().take(MAX_ABOVE) {
            let avoidable = style.duration(it.analysis.avoidable());
            self.sentence(None, &format!("  trace {}: {}: {avoidable}", it.trace.id(), it.title()), 4);
        }
        let more = operations.len().saturating_sub(MAX_ABOVE) + traces.len().saturating_sub(MAX_ABOVE);
        if more > 0 {
            self.sentence(None, &format!("  and {} more", grouped(more as u64)), 4);
        }
    }
}
