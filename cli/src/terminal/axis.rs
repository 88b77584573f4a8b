//! The axis of time below a drawing.

use std::time::Duration;

use crate::terminal::{
    scale::Scale,
    style::{Role, Style},
    text_layout::{pad, width},
};

/// The width of a tick and its label.
const TICK_CELLS: usize = 9;

/// Returns an axis from zero to `end` on `cells` after a margin, and its labels, which end within `columns`.
pub fn draw(end: Duration, cells: usize, margin: usize, columns: usize, style: Style) -> [String; 2] {
    let scale = Scale::new(end, cells);
    let mut line = vec![style.glyph("─", "-"); cells + 1];
    let mut labels = " ".repeat(margin);
    for tick in scale.ticks(TICK_CELLS) {
        let at = scale.position(tick);
        line[at] = style.glyph("┬", "+");
        let label = style.short_duration(tick);
        let start = (margin + at).min(columns.saturating_sub(width(&label)));
        // The last label may have been moved to the left, where it needs room.
        if at == 0 || start > width(labels.trim_end()) {
            labels = pad(labels.trim_end(), start) + &label;
        }
    }
    let line = " ".repeat(margin) + &line.concat();
    [style.paint(Role::Quiet, &line), style.paint(Role::Quiet, &labels)]
}
