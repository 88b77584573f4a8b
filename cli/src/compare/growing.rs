//! The drawing while a request is in flight: the finished runs, and bars that grow.
//!
//! ```text
//! concurrent  waiting 1.2 s
//!   user     ████████████                               1.2 s
//!   country  ████████████                               1.2 s
//!            ┬────────────────────┬────────────────────┬
//! ```

use std::time::Duration;

use crate::{
    compare::{
        expected::{Expected, expected},
        run::Run,
        waterfall::{Layout, end_of, has_calls, joined},
    },
    gateway_client::request::Strategy,
    terminal::{
        bar::Fill,
        scale::round_up,
        style::{Role, Style},
    },
};

/// The least end of an axis whose end is unknown.
const MIN_END: Duration = Duration::from_secs(1);

/// Draws the finished runs and the one in flight, `elapsed` after its start, one axis for all.
///
/// The calls of the first run have no names yet: it is one bar. The calls of the others are expected to start and to
/// last as before; no measured figure is shown for them. The axis ends with the longest run, and is extended in steps if
/// this one takes longer.
///
/// A pure function, as [`waterfall`](super::waterfall::waterfall()) is.
pub(super) fn growing(finished: &[Run], strategy: Strategy, elapsed: Duration, width: usize, style: Style) -> String {
    let mut calls = expected(finished, strategy);
    if calls.is_empty() {
        let name = style.glyph("…", "...").to_owned();
        calls.push(Expected { name, start: Duration::ZERO, duration: Duration::ZERO });
    }
    let known = finished.iter().map(end_of).chain(calls.iter().map(Expected::end)).max().unwrap_or_default();
    let end = if elapsed > known { round_up(elapsed.max(MIN_END)) } else { known };
    let layout = Layout::new(finished, end, width, style);
    let mut lines: Vec<_> = finished.iter().flat_map(|run| layout.block(run)).collect();
    lines.push(format!("{}  waiting {}", style.paint(Role::Heading, strategy.name()), tenths(elapsed)));
    let last = calls.iter().map(Expected::end).max().unwrap_or_default();
    lines.extend(calls.iter().map(|call| layout.expected(call, call.end() == last, elapsed)));
    lines.extend(layout.axis());
    if finished.iter().any(has_calls) {
        lines.extend(layout.legend(finished));
    }
    joined(&lines)
}

/// Formats the time since the start: with tenths of a second, because more digits would flicker.
pub(super) fn tenths(elapsed: Duration) -> String {
    match elapsed {
        long if long >= Duration::from_mins(10) => format!("{} min", long.as_secs() / 60),
        short => format!("{:.1} s", short.as_secs_f64()),
    }
}

// === impl Layout ===

impl Layout {
    /// Draws a call as far as it is expected to be after `elapsed`. The last call goes on until the reply is there.
    fn expected(&self, call: &Expected, is_last: bool, elapsed: Duration) -> String {
        if elapsed < call.start {
            return self.row(&call.name, &self.no_bar(), "", "");
        }
        let is_over = elapsed > call.end() && !is_last;
        let end = if is_over { call.end() } else { elapsed };
        let bar = self.bar(call.start, end, Fill::Solid, Role::Quiet);
        let duration = if is_over { self.estimate(call.duration) } else { tenths(elapsed.saturating_sub(call.start)) };
        self.row(&call.name, &bar, &duration, "")
    }
}

#[cfg(test)]
mod tests;
