//! How the width of a drawing is divided into names, bars, durations and notes, and the axis below them.

use std::time::Duration;

use crate::{
    compare::{elision, run::Run, waterfall::note::note},
    gateway_client::report::{Call, CallState},
    terminal::{
        axis,
        bar::{self, Fill},
        scale::Scale,
        style::{Role, Style},
        text_layout::{cut, pad, pad_left, printable, width},
    },
};

/// The least width of a bar: below it, notes are shortened.
const MIN_CELLS: usize = 20;
/// The width of most durations ("99.9 ms"), so that the bars keep their place while durations change.
/// Narrow drawings need the room.
const DURATION_COLUMNS: usize = 7;

/// How the width is divided. One layout for all runs that share an axis.
pub(in crate::compare) struct Layout {
    pub(super) width: usize,
    pub(super) style: Style,
    /// The columns of the names.
    name: usize,
    /// The columns of the bars.
    cells: usize,
    /// The columns of the durations.
    duration: usize,
    /// The columns of the notes.
    note: usize,
    /// Whether notes are glyphs without words.
    pub(super) compact: bool,
    /// The end of the axis.
    end: Duration,
}

// === impl Layout ===

impl Layout {
    /// Divides `width` for these runs. The axis ends with the last call, or at `end` if that is later.
    pub(in crate::compare) fn new(runs: &[Run], end: Duration, width: usize, style: Style) -> Self {
        let shown: Vec<&Call> = runs.iter().filter_map(Run::report).flat_map(elision::shown).collect();
        let longest = |columns: &dyn Fn(&Call) -> usize| shown.iter().map(|call| columns(call)).max().unwrap_or(0);
        let name = longest(&|call| name_columns(call)).clamp(4, max_name(width));
        let least = |compact| if compact { 0 } else { DURATION_COLUMNS };
        let duration_columns = |compact| longest(&|call| self::width(&duration_of(call, style))).max(least(compact));
        let note_columns = |compact| longest(&|call| self::width(&note(call, compact, style)));
        let room = |compact| {
            let note = note_columns(compact);
            // An indent of two, the gaps on both sides of the bar, and a space before a note.
            width.saturating_sub(2 + name + 2 * gap(compact) + duration_columns(compact) + usize::from(note > 0) + note)
        };
        let compact = room(false) < MIN_CELLS;
        let end = runs.iter().map(end_of).max().unwrap_or_default().max(end);
        let (cells, duration, note) = (room(compact).max(1), duration_columns(compact), note_columns(compact));
        Self { width, style, name, cells, duration, note, compact, end }
    }

    /// Returns whether the rows of this run have room, and its bars end with the axis or less than a cell after it.
    pub(in crate::compare) fn fits(&self, run: &Run) -> bool {
        let cell = self.end / u32::try_from(self.cells).unwrap_or(u32::MAX);
        let has_room = |call: &&Call| {
            name_columns(call).min(max_name(self.width)) <= self.name
                && width(&duration_of(call, self.style)) <= self.duration
                && width(&note(call, self.compact, self.style)) <= self.note
        };
        end_of(run) < self.end.saturating_add(cell)
            && run.report().is_none_or(|report| elision::shown(report).iter().all(has_room))
    }

    /// Returns a row. The note is the last part, and may have colours.
    pub(in crate::compare) fn row(&self, name: &str, bar: &str, duration: &str, note: &str) -> String {
        let gap = " ".repeat(gap(self.compact));
        format!("  {}{gap}{bar}{gap}{} {note}", pad(&self.name(name), self.name), pad_left(duration, self.duration))
    }

    /// Returns a name of a call as rows show it.
    pub(super) fn name(&self, name: &str) -> String {
        cut(&printable(name), self.name, self.style)
    }

    /// Returns a bar from one moment to another.
    pub(in crate::compare) fn bar(&self, from: Duration, to: Duration, fill: Fill, role: Role) -> String {
        let scale = Scale::new(self.end, self.cells * bar::PER_CELL);
        bar::draw(scale.position(from), scale.position(to), self.cells, fill, role, self.style)
    }

    /// Returns a duration as an estimate, with a sign for it if that has room.
    pub(in crate::compare) fn estimate(&self, duration: Duration) -> String {
        let text = self.style.duration(duration);
        let estimate = format!("{}{text}", self.style.glyph("≈", "~"));
        if width(&estimate) <= self.duration { estimate } else { text }
    }

    /// Returns the place of a bar without one.
    pub(in crate::compare) fn no_bar(&self) -> String {
        " ".repeat(self.cells)
    }

    /// Returns the axis and its labels.
    pub(in crate::compare) fn axis(&self) -> [String; 2] {
        axis::draw(self.end, self.cells, 2 + self.name + gap(self.compact), self.width, self.style)
    }
}

/// Returns the duration of a call as its row shows it.
pub(super) fn duration_of(call: &Call, style: Style) -> String {
    if call.state == CallState::Skipped { String::new() } else { style.duration(call.duration) }
}

/// Returns the most columns of names; longer ones are cut.
fn max_name(width: usize) -> usize {
    (width / 4).max(4)
}

fn name_columns(call: &Call) -> usize {
    width(&printable(&call.name))
}

/// Returns when the last call of a run ended.
pub(in crate::compare) fn end_of(run: &Run) -> Duration {
    run.report().and_then(|report| report.calls.iter().map(Call::end).max()).unwrap_or_default()
}

/// Returns the columns between a name, a bar and a duration.
fn gap(compact: bool) -> usize {
    if compact { 1 } else { 2 }
}
