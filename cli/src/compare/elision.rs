//! Which calls of a report get a row: a request of a thousand calls must not fill the screen.

use crate::gateway_client::report::{Call, CallState, Report, count_states};

/// The most rows of a report.
const MAX_ROWS: usize = 16;

/// Returns the calls that get a row, in their order: all if they are few, otherwise those that failed or ended last, and
/// the first of the others.
pub fn shown(report: &Report) -> Vec<&Call> {
    let is_notable = |call: &Call| call.critical || matches!(call.state, CallState::Failed { .. });
    // Half of the rows at most, so that successful calls are shown too.
    let room = if report.calls.len() <= MAX_ROWS { MAX_ROWS } else { MAX_ROWS / 2 };
    let mut chosen: Vec<usize> = (0..report.calls.len()).filter(|index| is_notable(&report.calls[*index])).collect();
    // The critical call first: failed ones must not displace it.
    chosen.sort_by_key(|index| !report.calls[*index].critical);
    chosen.truncate(room);
    let others: Vec<usize> =
        (0..report.calls.len()).filter(|index| !chosen.contains(index)).take(MAX_ROWS - chosen.len()).collect();
    chosen.extend(others);
    chosen.sort_unstable();
    chosen.into_iter().map(|index| &report.calls[index]).collect()
}

/// Returns how many calls got no row and how they ended, in words, or `None` if all got one.
pub fn rest(report: &Report) -> Option<String> {
    let hidden = report.calls.len().checked_sub(MAX_ROWS).filter(|hidden| *hidden > 0)?;
    let shown = shown(report);
    let others = report.calls.iter().filter(|call| !shown.iter().any(|shown| std::ptr::eq(*shown, *call)));
    Some(format!("{hidden} more: {}", count_states(others)))
}
