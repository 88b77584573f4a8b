//! The calls of each run as bars on one axis of time.
//!
//! ```text
//! sequential  waited 6.01 s
//!   user     ███████████████████                      3.00 s
//!   country                     ███████████████████▏  3.00 s ◆
//! concurrent  waited 3.01 s
//!   …
//!            ┬──────┬─────┬──────┬─────┬──────┬─────┬
//!            0 s    1 s   2 s    3 s   4 s    5 s   6 s
//! ```

use std::time::Duration;

use rpc_layers::trace::code_name;

use crate::{
    compare::{elision, run::Run},
    gateway_client::report::{Call, CallState},
    terminal::{
        bar::{self, Fill},
        scale::Scale,
        style::{Role, Style},
        text_layout::{cut, pad, pad_left, printable, width, wrap},
    },
};

/// The least width of a bar: below it, notes are shortened.
const MIN_CELLS: usize = 20;
/// The width of a tick and its label.
const TICK_CELLS: usize = 9;

/// Draws the runs, one axis for all.
///
/// A pure function: the same runs, width and style give the same text. No line of bars is wider than `width` if that is
/// at least 40.
pub fn waterfall(runs: &[Run], width: usize, style: Style) -> String {
    let layout = Layout::new(runs, width, style);
    let mut lines = Vec::new();
    for run in runs {
        lines.extend(layout.run(run));
    }
    if runs.iter().filter_map(Run::report).any(|report| !report.calls.is_empty()) {
        lines.extend(layout.axis());
        lines.extend(layout.legend(runs));
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How the width is divided.
struct Layout {
    width: usize,
    style: Style,
    /// The columns of the names.
    name: usize,
    /// The columns of the bars.
    cells: usize,
    /// The columns of the durations.
    duration: usize,
    /// Whether notes are glyphs without words.
    compact: bool,
    /// The end of the axis.
    end: Duration,
}

// === impl Layout ===

impl Layout {
    fn new(runs: &[Run], width: usize, style: Style) -> Self {
        let shown: Vec<&Call> = runs.iter().filter_map(Run::report).flat_map(elision::shown).collect();
        let all = || runs.iter().filter_map(Run::report).flat_map(|report| &report.calls);
        let longest = |columns: &dyn Fn(&Call) -> usize| shown.iter().map(|call| columns(call)).max().unwrap_or(0);
        let name = longest(&|call| self::width(&printable(&call.name))).clamp(4, (width / 4).max(4));
        let duration = longest(&|call| self::width(&duration_of(call, style)));
        let room = |compact| {
            let note = longest(&|call| self::width(&note(call, compact, style)));
            // An indent of two, the gaps on both sides of the bar, and a space before a note.
            width.saturating_sub(2 + name + 2 * gap(compact) + duration + usize::from(note > 0) + note)
        };
        let compact = room(false) < MIN_CELLS;
        let end = all().map(Call::end).max().unwrap_or_default();
        Self { width, style, name, cells: room(compact).max(1), duration, compact, end }
    }

    fn run(&self, run: &Run) -> Vec<String> {
        let mut lines = self.heading(run);
        let Some(report) = run.report() else {
            if run.result.is_ok() {
                lines.push(self.style.paint(Role::Quiet, "  the reply holds no report"));
            }
            return lines;
        };
        let shown = elision::shown(report);
        lines.extend(shown.iter().map(|call| self.row(call)));
        lines.extend(elision::rest(report).map(|rest| {
            let text = format!("  {} {rest}", self.style.glyph("…", "..."));
            self.style.paint(Role::Quiet, &text)
        }));
        lines.extend(shown.iter().filter_map(|call| self.error(call, run)));
        lines
    }

    /// Returns the strategy, how long the caller waited, the trace and the error.
    fn heading(&self, run: &Run) -> Vec<String> {
        let (name, waited) = (run.strategy.name(), format!("  waited {}", self.style.duration(run.waited)));
        let mut first = self.style.paint(Role::Heading, name) + &waited;
        let mut lines = Vec::new();
        let trace = run.report().filter(|report| !report.trace_id.is_empty());
        if let Some(trace) = trace.map(|report| format!("  trace {}", printable(&report.trace_id))) {
            if width(name) + width(&waited) + width(&trace) <= self.width {
                first.push_str(&self.style.paint(Role::Quiet, &trace));
            } else {
                lines.push(self.style.paint(Role::Quiet, &trace));
            }
        }
        lines.insert(0, first);
        if let Err(error) = &run.result {
            let glyph = self.style.glyph("✗", "x");
            let text = format!("  {glyph} {}: {}", code_name(error.code), printable(&error.message));
            lines.push(self.style.paint(Role::Bad, &wrap(&text, self.width, 4)));
        }
        lines
    }

    fn row(&self, call: &Call) -> String {
        let name = pad(&cut(&printable(&call.name), self.name, self.style), self.name);
        let duration = pad_left(&duration_of(call, self.style), self.duration);
        let note = self.style.paint(role(call), &note(call, self.compact, self.style));
        let gap = " ".repeat(gap(self.compact));
        format!("  {name}{gap}{}{gap}{duration} {note}", self.bar(call))
    }

    fn bar(&self, call: &Call) -> String {
        let fill = match call.state {
            CallState::Ok => Fill::Solid,
            CallState::Failed { .. } => Fill::Texture("▓", "x"),
            CallState::Cancelled => Fill::Texture("▒", "~"),
            CallState::Unknown => Fill::Texture("░", "?"),
            CallState::Skipped => return " ".repeat(self.cells),
        };
        let scale = Scale::new(self.end, self.cells * bar::PER_CELL);
        bar::draw(scale.position(call.start), scale.position(call.end()), self.cells, fill, role(call), self.style)
    }

    /// Returns why a call failed, unless the request's own error already contains it.
    fn error(&self, call: &Call, run: &Run) -> Option<String> {
        let CallState::Failed { code, message } = &call.state else { return None };
        if run.result.as_ref().is_err_and(|error| error.message.contains(message.as_str())) {
            return None;
        }
        let name = cut(&printable(&call.name), self.name, self.style);
        let text = format!("  {name}: {code}: {}", printable(message));
        Some(self.style.paint(Role::Bad, &wrap(&text, self.width, 4)))
    }

    fn axis(&self) -> [String; 2] {
        let margin = 2 + self.name + gap(self.compact);
        let scale = Scale::new(self.end, self.cells);
        let mut line = vec![self.style.glyph("─", "-"); self.cells + 1];
        let mut labels = " ".repeat(margin);
        for tick in scale.ticks(TICK_CELLS) {
            let at = scale.position(tick);
            line[at] = self.style.glyph("┬", "+");
            let label = self.style.short_duration(tick);
            let start = (margin + at).min(self.width.saturating_sub(width(&label)));
            // The last label may have been moved to the left, where it needs room.
            if at == 0 || start > width(labels.trim_end()) {
                labels = pad(labels.trim_end(), start) + &label;
            }
        }
        let line = " ".repeat(margin) + &line.concat();
        [self.style.paint(Role::Quiet, &line), self.style.paint(Role::Quiet, &labels)]
    }

    /// Explains the glyphs in use.
    fn legend(&self, runs: &[Run]) -> Option<String> {
        let calls = || runs.iter().filter_map(Run::report).flat_map(elision::shown);
        let mut parts = Vec::new();
        if calls().any(|call| call.critical) {
            parts.push(format!("{} ended last: the one to speed up first", self.style.glyph("◆", "*")));
        }
        for (glyph, word) in [("✗", "failed"), ("◌", "cancelled"), ("–", "skipped"), ("?", "unknown")] {
            if self.compact && calls().any(|call| call.state.word() == word) {
                parts.push(format!("{} {word}", self.style.glyph(glyph, ascii(glyph))));
            }
        }
        let text = parts.join(", ");
        (!text.is_empty()).then(|| self.style.paint(Role::Quiet, &wrap(&text, self.width, 0)))
    }
}

/// Returns the columns between a name, a bar and a duration.
fn gap(compact: bool) -> usize {
    if compact { 1 } else { 2 }
}

fn role(call: &Call) -> Role {
    match call.state {
        CallState::Ok if call.critical => Role::Critical,
        CallState::Ok => Role::Good,
        CallState::Failed { .. } => Role::Bad,
        CallState::Cancelled | CallState::Unknown => Role::Stopped,
        CallState::Skipped => Role::Quiet,
    }
}

fn duration_of(call: &Call, style: Style) -> String {
    if call.state == CallState::Skipped { String::new() } else { style.duration(call.duration) }
}

/// Returns the note at the end of a row: whether the call is critical, how it ended, how many times it was sent.
fn note(call: &Call, compact: bool, style: Style) -> String {
    let mut parts = Vec::new();
    if call.critical {
        parts.push(style.glyph("◆", "*").to_owned());
    }
    let (glyph, words) = match &call.state {
        CallState::Ok => ("", ""),
        CallState::Failed { code, .. } => ("✗", *code),
        CallState::Cancelled => ("◌", "cancelled"),
        CallState::Skipped => ("–", "skipped"),
        CallState::Unknown => ("?", "unknown"),
    };
    if !glyph.is_empty() {
        parts.push(style.glyph(glyph, ascii(glyph)).to_owned());
    }
    if !compact && !words.is_empty() {
        parts.push(words.to_owned());
    }
    if !compact && call.attempts > 1 {
        parts.push(format!("{} attempts", call.attempts));
    }
    if !compact && call.hedges > 0 {
        parts.push(if call.hedge_won { "hedge won" } else { "hedge lost" }.to_owned());
    }
    parts.join(" ")
}

fn ascii(glyph: &str) -> &'static str {
    match glyph {
        "✗" => "x",
        "◌" => "~",
        "–" => "-",
        _ => "?",
    }
}

#[cfg(test)]
mod tests;
