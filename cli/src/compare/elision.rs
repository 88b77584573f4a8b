//! Which calls of a report get a row: a request of a thousand calls must not flood the screen.

use crate::gateway_client::report::{Call, CallState, Report, count_states};

/// How many rows a report gets at most.
const MAX_ROWS: usize = 16;

/// The calls that get a row, in their order: all where they are few, else those that
/// failed or ended last, and the first ones as far as there is room.
pub fn shown(report: &Report) -> Vec<&Call> {
    let telling = |call: &Call| call.critical || matches!(call.state, CallState::Failed { .. });
    // Half of the rows at most: what goes well is part of the picture.
    let room = if report.calls.len() <= MAX_ROWS { MAX_ROWS } else { MAX_ROWS / 2 };
    let mut chosen: Vec<usize> = (0..report.calls.len()).filter(|index| telling(&report.calls[*index])).collect();
    // The critical call first: it must not be cut off by those that failed.
    chosen.sort_by_key(|index| !report.calls[*index].critical);
    chosen.truncate(room);
    let others: Vec<usize> =
        (0..report.calls.len()).filter(|index| !chosen.contains(index)).take(MAX_ROWS - chosen.len()).collect();
    chosen.extend(others);
    chosen.sort_unstable();
    chosen.into_iter().map(|index| &report.calls[index]).collect()
}

/// How many calls got no row and how they ended, in words; nothing where all did.
pub fn rest(report: &Report) -> Option<String> {
    let hidden = report.calls.len().checked_sub(MAX_ROWS).filter(|hidden| *hidden > 0)?;
    let shown = shown(report);
    let others = report.calls.iter().filter(|call| !shown.iter().any(|shown| std::ptr::eq(*shown, *call)));
    Some(format!("{hidden} more: {}", count_states(others)))
}
