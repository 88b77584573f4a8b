//! The meaning of the figures, in a sentence.

use std::time::Duration;

use crate::{
    compare::{noise, run::Run},
    gateway_client::{report::Report, request::Strategy},
    terminal::style::Style,
};

/// Says what joining saves, computed from the measured times.
///
/// Only requests whose calls all succeeded count: a request that failed early was not fast.
pub fn verdict(runs: &[Run], style: Style) -> String {
    let of = |strategy| runs.iter().filter(|run| run.strategy == strategy).find_map(Run::complete);
    let (one_task, tasks) = (of(Strategy::Concurrent), of(Strategy::Spawned));
    match (of(Strategy::Sequential), one_task.or(tasks)) {
        (Some(in_turn), Some(together)) => {
            let sentence = compared(in_turn, together, style);
            match (one_task, tasks) {
                (Some(one_task), Some(tasks)) => format!("{sentence}\n{}", of_tasks(one_task.wall, tasks.wall, style)),
                _ => sentence,
            }
        }
        (Some(in_turn), None) => alone_in_turn(in_turn, style),
        (None, Some(together)) => alone_together(together, style),
        (None, None) => "nothing to compare: calls failed with every strategy".to_owned(),
    }
}

fn compared(in_turn: &Report, together: &Report, style: Style) -> String {
    let figures = format!("{} in turn, {} together", style.duration(in_turn.wall), style.duration(together.wall));
    let saved = in_turn.wall.saturating_sub(together.wall);
    if noise::is_more(saved, in_turn.wall) {
        return format!("joining saves {}: {figures}", style.duration(saved));
    }
    format!("joining saves nothing: {figures}; {}", why_nothing(together, noise::is_too_short(saved, in_turn.wall)))
}

/// Says why calls that were joined took no less time.
fn why_nothing(together: &Report, is_too_short: bool) -> &'static str {
    match together.calls.len() {
        _ if is_too_short => "the calls are too short to tell",
        0 | 1 => "there is only one call",
        // Calls that could start together but do not: each needs the previous one.
        _ if !together.overlaps() => "the calls depend on one another",
        _ => "one call takes nearly all of the time",
    }
}

fn of_tasks(one_task: Duration, tasks: Duration, style: Style) -> String {
    let effect = match noise::is_more(one_task.abs_diff(tasks), one_task.max(tasks)) {
        true if tasks < one_task => "takes less",
        true => "takes longer",
        false => "changes nothing",
    };
    let (one_task, tasks) = (style.duration(one_task), style.duration(tasks));
    format!("a task for each call {effect}: {tasks}, {one_task} in one task")
}

fn alone_in_turn(report: &Report, style: Style) -> String {
    let wall = style.duration(report.wall);
    if noise::is_more(report.avoidable, report.wall) {
        format!("joining would save {} of {wall}", style.duration(report.avoidable))
    } else {
        format!("joining would save nothing of {wall}")
    }
}

fn alone_together(report: &Report, style: Style) -> String {
    if noise::is_more(report.saved, report.total) {
        let (saved, total, wall) = (report.saved, report.total, report.wall);
        let [saved, total, wall] = [saved, total, wall].map(|duration| style.duration(duration));
        format!("joining saved {saved}: {wall} together, {total} if in turn")
    } else {
        format!(
            "joining saved nothing of {}: {}",
            style.duration(report.wall),
            why_nothing(report, noise::is_too_short(report.saved, report.total))
        )
    }
}
