//! The figures of the runs, side by side.

use rpc_layers::trace::code_name;

use crate::{
    compare::{noise, run::Run},
    gateway_client::report::{CallState, Report},
    terminal::{
        style::{Role, Style},
        text_layout::{align, width},
    },
};

/// The columns after the strategy.
const COLUMNS: [&str; 6] = ["waited", "wall", "total", "saved", "avoidable", "calls"];

/// Formats the figures as a table with a row for each run, or with a column for each if rows are wider than `columns`.
pub fn table(runs: &[Run], columns: usize, style: Style) -> String {
    let mut rows = vec![std::iter::once("strategy").chain(COLUMNS).map(str::to_owned).collect()];
    rows.extend(runs.iter().map(|run| row(run, style)));
    let fits = |lines: &Vec<String>| lines.iter().all(|line| width(line) <= columns);
    let lines = [3, 2].map(|gap| align(&rows, gap)).into_iter().find(fits);
    let lines = lines.unwrap_or_else(|| align(&transposed(&rows, runs), 1));
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line = if index == 0 { style.paint(Role::Quiet, line) } else { line.clone() };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn row(run: &Run, style: Style) -> Vec<String> {
    let missing = || style.glyph("–", "-").to_owned();
    let figure =
        |of: fn(&Report) -> std::time::Duration| run.report().map_or_else(missing, |report| style.duration(of(report)));
    let calls = match &run.result {
        Ok(report) => report.as_ref().map_or_else(missing, Report::counts),
        Err(error) => match &error.report {
            Some(report) => report.counts(),
            None => code_name(error.code).to_owned(),
        },
    };
    vec![
        run.strategy.name().to_owned(),
        style.duration(run.waited),
        figure(|report| report.wall),
        figure(|report| report.total),
        figure(|report| noise::figure(report.saved)),
        figure(|report| noise::figure(report.avoidable)),
        calls,
    ]
}

/// Returns the table with a column for each run. Calls get a row for each state, because their description is too wide.
fn transposed(rows: &[Vec<String>], runs: &[Run]) -> Vec<Vec<String>> {
    let figures = 0..COLUMNS.len();
    let mut lines: Vec<Vec<String>> =
        figures.map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect();
    for word in CallState::WORDS {
        let count = |run: &Run| {
            let calls = run.report().map(|report| &report.calls);
            calls.map_or(0, |calls| calls.iter().filter(|call| call.state.word() == word).count())
        };
        if runs.iter().any(|run| count(run) > 0) {
            let counts = runs.iter().map(|run| count(run).to_string());
            lines.push(std::iter::once(word.to_owned()).chain(counts).collect());
        }
    }
    lines
}
