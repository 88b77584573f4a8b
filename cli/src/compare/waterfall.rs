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

mod layout;
mod note;

use std::time::Duration;

use rpc_layers::trace::code_name;

pub(super) use self::layout::{Layout, end_of};
use self::{
    layout::duration_of,
    note::{ascii, note, role},
};
use crate::{
    compare::{elision, run::Run},
    gateway_client::report::{Call, CallState},
    terminal::{
        bar::Fill,
        style::{Role, Style},
        text_layout::{printable, width, wrap},
    },
};

/// Draws the runs, one axis for all.
///
/// A pure function: the same runs, width and style give the same text. No line of bars is wider than `width` if that is
/// at least 40.
pub fn waterfall(runs: &[Run], width: usize, style: Style) -> String {
    let layout = Layout::new(runs, Duration::ZERO, width, style);
    let mut lines: Vec<_> = runs.iter().flat_map(|run| layout.block(run)).collect();
    if runs.iter().any(has_calls) {
        lines.extend(layout.axis());
        lines.extend(layout.legend(runs));
    }
    joined(&lines)
}

/// Returns whether a run has bars.
pub(super) fn has_calls(run: &Run) -> bool {
    run.report().is_some_and(|report| !report.calls.is_empty())
}

/// Joins lines without the spaces at their ends.
pub(super) fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

// === impl Layout ===

impl Layout {
    /// Draws one run: its heading, a row for each call, and why calls failed.
    pub(super) fn block(&self, run: &Run) -> Vec<String> {
        let mut lines = self.heading(run);
        let Some(report) = run.report() else {
            if run.result.is_ok() {
                lines.push(self.style.paint(Role::Quiet, "  the reply holds no report"));
            }
            return lines;
        };
        let shown = elision::shown(report);
        lines.extend(shown.iter().map(|call| self.call(call)));
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

    fn call(&self, call: &Call) -> String {
        let bar = |fill| self.bar(call.start, call.end(), fill, role(call));
        let bar = match call.state {
            CallState::Ok => bar(Fill::Solid),
            CallState::Failed { .. } => bar(Fill::Texture("▓", "x")),
            CallState::Cancelled => bar(Fill::Texture("▒", "~")),
            CallState::Unknown => bar(Fill::Texture("░", "?")),
            CallState::Skipped => self.no_bar(),
        };
        let note = self.style.paint(role(call), &note(call, self.compact, self.style));
        self.row(&call.name, &bar, &duration_of(call, self.style), &note)
    }

    /// Returns why a call failed, unless the request's own error already contains it.
    fn error(&self, call: &Call, run: &Run) -> Option<String> {
        let CallState::Failed { code, message } = &call.state else { return None };
        if run.result.as_ref().is_err_and(|error| error.message.contains(message.as_str())) {
            return None;
        }
        let text = format!("  {}: {code}: {}", self.name(&call.name), printable(message));
        Some(self.style.paint(Role::Bad, &wrap(&text, self.width, 4)))
    }

    /// Explains the glyphs in use.
    pub(super) fn legend(&self, runs: &[Run]) -> Option<String> {
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

#[cfg(test)]
mod tests;
