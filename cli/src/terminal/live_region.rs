//! A drawing on standard output that is redrawn in place until its last version is there.
//!
//! The cursor stays visible and below the drawing, so that a process that is interrupted leaves the terminal usable.

use std::{io, pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::terminal::{
    capabilities::{self, Size},
    stdout,
    text_layout::visible_width,
};

/// The drawing shows tenths of a second.
const REFRESH: Duration = Duration::from_millis(100);
/// The ANSI sequence that erases the line of the cursor, and the step to the next one.
const ERASE_LINE: &str = "\u{1b}[2K\n";
/// Terminals that know this mode show what is between its start and its end at once; the others ignore it.
const SYNCHRONIZED: [&str; 2] = ["\u{1b}[?2026h", "\u{1b}[?2026l"];

/// A drawing that is redrawn in place.
#[derive(Debug)]
pub struct LiveRegion {
    /// The widths of the lines that are on the screen.
    drawn: Vec<usize>,
}

// === impl LiveRegion ===

impl LiveRegion {
    /// Creates an empty region below what is on the screen. Returns `None` if standard output cannot be redrawn: it is
    /// not a terminal, or one without a size.
    pub fn new() -> Option<Self> {
        capabilities::stdout_size().map(|_| Self { drawn: Vec::new() })
    }

    /// Waits for the future. Meanwhile draws what `draw` returns for the time since the start, ten times a second,
    /// beginning after a tenth of a second: what is fast needs no progress.
    pub async fn draw_until<F: Future>(&mut self, future: F, draw: impl Fn(Duration) -> String) -> F::Output {
        let mut future = pin!(future);
        let began = Instant::now();
        let mut ticks = interval_at(began + REFRESH, REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                _ = ticks.tick() => self.redraw(&draw(began.elapsed())),
            }
        }
    }

    /// Replaces the drawing by its last version, of any height.
    ///
    /// # Errors
    ///
    /// Returns an error if standard output cannot be written.
    pub fn replace(self, text: &str) -> io::Result<()> {
        stdout::print(&(self.erase() + text))
    }

    fn redraw(&mut self, text: &str) {
        let size = capabilities::stdout_size();
        let lines = size.map(|size| last_lines(text, size)).unwrap_or_default();
        let drawing: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        let [begin, end] = SYNCHRONIZED;
        // A failure loses only progress. One write, so that an interrupted process leaves no half of a drawing.
        let _ = stdout::print(&format!("{begin}{}{drawing}{end}", self.erase()));
        self.drawn = lines.iter().map(|line| visible_width(line)).collect();
    }

    /// Returns what erases the drawing and moves the cursor to its start.
    ///
    /// Line by line: tmux moves a screen that is erased as a whole into its scrollback.
    fn erase(&self) -> String {
        let Some(Size { columns, rows }) = capabilities::stdout_size() else { return String::new() };
        // At the size of now: a terminal that has become narrower has wrapped the lines.
        let up = self.drawn.iter().map(|width| rows_of(*width, columns)).sum::<usize>().min(rows.saturating_sub(1));
        if up == 0 { String::new() } else { format!("\r\u{1b}[{up}A{}\u{1b}[{up}A", ERASE_LINE.repeat(up)) }
    }
}

/// Returns the last lines of the text that fit above the cursor: what has left the screen cannot be redrawn.
fn last_lines(text: &str, Size { columns, rows }: Size) -> Vec<&str> {
    let mut left = rows.saturating_sub(1);
    let fits = |line: &&str| {
        let needed = rows_of(visible_width(line), columns);
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    };
    let mut lines: Vec<_> = text.lines().rev().take_while(fits).collect();
    lines.reverse();
    lines
}

/// Returns the rows that a line takes.
fn rows_of(width: usize, columns: usize) -> usize {
    width.div_ceil(columns.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_drawing_that_is_too_high_is_drawn() {
        let text = "1\n2\n3\n4\n";
        let lines = |columns, rows| last_lines(text, Size { columns, rows });
        assert_eq!(lines(80, 10), ["1", "2", "3", "4"]);
        assert_eq!(lines(80, 5), ["1", "2", "3", "4"]);
        assert_eq!(lines(80, 4), ["2", "3", "4"], "the cursor needs a row");
        assert!(lines(80, 1).is_empty() && lines(80, 0).is_empty());
    }

    #[test]
    fn a_wide_line_takes_several_rows() {
        let text = format!("{}\n\u{1b}[36m{}\u{1b}[0m\nx\n", "a".repeat(21), "b".repeat(20));
        let count = |rows| last_lines(&text, Size { columns: 10, rows }).len();
        assert_eq!([count(7), count(6), count(4), count(3)], [3, 2, 2, 1]);
        assert_eq!([rows_of(0, 10), rows_of(10, 10), rows_of(11, 10)], [1, 1, 2]);
    }
}
