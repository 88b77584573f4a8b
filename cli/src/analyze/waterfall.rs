//! The spans of a trace as bars on one axis, with the critical path.
//!
//! ```text
//!   web: GET /order   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  6.01 s
//!     user: GetUser   █████████████              3.00 s ◆
//!     country: Get                 ████████████  3.00 s ◆
//!                     ┬───────────┬────────────┬
//!                     0 s         3 s          6 s
//! ```

use std::time::Duration;

use overlap::{Segment, Span, SpanIndex};

use super::{
    report::Analyzed,
    rows::{indent_level, rows, segments},
};
use crate::terminal::{
    axis,
    scale::Scale,
    style::{Role, Style},
    text_layout::{cut, grouped, pad, pad_left, printable, width},
};

/// The rows of one drawing.
const MAX_ROWS: usize = 40;

/// How a drawing is divided into columns.
struct Columns {
    name: usize,
    duration: usize,
}

/// Draws the spans of a trace, or the most important of them.
///
/// A pure function. No line is wider than `columns` if that is at least 40.
pub(super) fn waterfall(it: &Analyzed, columns: usize, style: Style) -> Vec<String> {
    let (start, end) = it.trace.bounds();
    let end = Duration::from_nanos(end - start);
    let rows = rows(it, MAX_ROWS);
    let path = segments(it);
    let name = |row: &SpanIndex| indent(it, *row) + &printable(&it.short_label(*row));
    let name_width = rows.iter().map(|row| width(&name(row))).max().unwrap_or(0).clamp(4, columns * 2 / 5);
    let duration = rows.iter().map(|row| width(&style.duration(it.trace.span(*row).duration()))).max().unwrap_or(0);
    // An indent of two, gaps of two, and the note.
    let cells = columns.saturating_sub(2 + name_width + 2 + 2 + duration + 4).max(1);
    let layout = Columns { name: name_width, duration };

    let mut lines = Vec::new();
    for row in &rows {
        let span = it.trace.span(*row);
        let own = path.get(row).map(Vec::as_slice).unwrap_or_default();
        let cells = critical_cells(span, own, start, Scale::new(end, cells), cells);
        let bar = bar(span, &cells, style);
        // Too short to be drawn is too short to matter.
        lines.push(layout.row(&name(row), &bar, span, cells.contains(&Cell::Critical), style));
    }
    let hidden = it.trace.spans().len() - rows.len();
    if hidden > 0 {
        let spans = if hidden == 1 { "span" } else { "spans" };
        let text = format!("  {} {} more {spans}", style.glyph("…", "..."), grouped(hidden as u64));
        lines.push(style.paint(Role::Quiet, &text));
    }
    lines.extend(axis::draw(end, cells, 2 + name_width + 2, columns, style));
    lines
}

fn indent(it: &Analyzed, span: SpanIndex) -> String {
    "  ".repeat(indent_level(it, span))
}

/// A part of a row of bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Empty,
    Span,
    Critical,
}

/// Returns the cells of the row of a span.
fn critical_cells(span: &Span, path: &[Segment], origin: u64, scale: Scale, count: usize) -> Vec<Cell> {
    let at = |moment: u64| scale.position(Duration::from_nanos(moment.saturating_sub(origin)));
    let mut cells = vec![Cell::Empty; count];
    // Of no length it is visible too.
    let first = at(span.start).min(count.saturating_sub(1));
    let whole = first..at(span.end).clamp(first + 1, count.max(first + 1));
    cells[whole.clone()].fill(Cell::Span);
    for part in path {
        let from = at(part.start).clamp(whole.start, whole.end);
        let to = at(part.end).clamp(from, whole.end);
        cells[from..to].fill(Cell::Critical);
    }
    // A part that is shorter than a cell, of a span that is not longer.
    if whole.len() == 1 && !path.is_empty() {
        cells[first] = Cell::Critical;
    }
    cells
}

/// Draws the bar of a span: full where it is the critical path.
fn bar(span: &Span, cells: &[Cell], style: Style) -> String {
    let role = |role| if span.error { Role::Bad } else { role };
    let parts = cells.chunk_by(|one, other| one == other).map(|part| match part[0] {
        Cell::Empty => " ".repeat(part.len()),
        Cell::Span => style.paint(role(Role::Good), &style.glyph("▒", "-").repeat(part.len())),
        Cell::Critical => style.paint(role(Role::Critical), &style.glyph("█", "#").repeat(part.len())),
    });
    parts.collect()
}

// === impl Columns ===

impl Columns {
    fn row(&self, name: &str, bar: &str, span: &Span, is_critical: bool, style: Style) -> String {
        let name = pad(&cut(name, self.name, style), self.name);
        let duration = pad_left(&style.duration(span.duration()), self.duration);
        let mut note = String::new();
        if is_critical {
            note += &style.paint(Role::Critical, style.glyph(" ◆", " *"));
        }
        if span.error {
            note += &style.paint(Role::Bad, style.glyph(" ✗", " x"));
        }
        format!("  {name}  {bar}  {duration}{note}")
    }
}
