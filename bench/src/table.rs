//! Rows as Markdown, which is read in a terminal too.

use crate::{
    scenario::Scenario,
    summary::{Row, Spread},
};

/// Returns the table of a scenario.
pub(crate) fn markdown(scenario: Scenario, rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.scenario == scenario.name()).collect();
    let (Some(first), Some(reference)) = (rows.first(), scenario.subjects().first()) else { return String::new() };
    let point = if rows.iter().all(|row| row.in_flight == first.in_flight) && scenario == Scenario::Width {
        "calls of a request"
    } else {
        "in flight"
    };
    let mut lines = vec![
        format!("| | {point} | CPU a request | … against {} | requests/s | p50 | p99 | no answer |", reference.name),
        "|---|--:|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    lines.extend(rows.iter().map(|row| {
        let at = if scenario == Scenario::Width { row.width } else { row.in_flight };
        let ratio = row.processor_ratio.map_or_else(|| "1".into(), |ratio| spread(ratio, 2));
        format!(
            "| {} | {at} | {} µs | {ratio} | {:.0} | {} | {} | {} |",
            row.subject,
            spread(row.processor, 0),
            row.per_second.median,
            milliseconds(row.p50.median),
            milliseconds(row.p99.median),
            if row.failed == 0 { String::new() } else { row.failed.to_string() },
        )
    }));
    lines.join("\n") + "\n"
}

fn spread(spread: Spread, decimals: usize) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
}

fn milliseconds(microseconds: f64) -> String {
    format!("{:.1} ms", microseconds / 1e3)
}
