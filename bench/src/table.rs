//! Rows as Markdown, which is read in a terminal too.

use crate::{
    run::Effort,
    scenario::Scenario,
    summary::{Row, Spread, noise},
};

/// Returns the table of a scenario, with a line below it that says how it was measured.
pub(crate) fn markdown(scenario: Scenario, rows: &[Row], effort: Effort) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.scenario == scenario.name()).collect();
    let lines = if scenario == Scenario::Width { by_width(&rows) } else { by_subject(&rows) };
    let growth = if scenario == Scenario::Cores { growth(&rows) } else { String::new() };
    format!("{}\n\n{growth}{}\n", lines.join("\n"), how(&rows, effort))
}

/// Says how much more two processors do than one: twice as much as long as a request costs as much on them.
fn growth(rows: &[&Row]) -> String {
    let Some(Spread { median, min, max }) = rows.iter().find_map(|row| row.processor_ratio) else {
        return String::new();
    };
    // Where a request costs most, two do least.
    let times = Spread { median: 2.0 / median, min: 2.0 / max, max: 2.0 / min };
    format!(
        "Two cores do {} times what one does: twice as much, divided by what a request costs more on them.\n\n",
        spread(times, 2)
    )
}

fn by_subject(rows: &[&Row]) -> Vec<String> {
    let Some(reference) = rows.first().map(|row| row.reference) else { return Vec::new() };
    let reference = if rows.iter().all(|row| row.reference == reference) {
        reference
    } else {
        "the same setting of the build before"
    };
    let head = format!("| | in flight | CPU a request | … against {reference} | requests/s | p50 | p99 | no answer |");
    let mut lines = vec![head, "|---|--:|--:|--:|--:|--:|--:|--:|".to_owned()];
    lines.extend(rows.iter().map(|row| {
        let ratio = match row.processor_ratio {
            Some(ratio) => spread(ratio, 2),
            None if row.subject == row.reference => "1".into(),
            None => "–".into(),
        };
        format!("| {} | {} | {} µs | {ratio} {}", row.subject, row.in_flight, spread(row.processor, 0), times(row))
    }));
    lines
}

fn by_width(rows: &[&Row]) -> Vec<String> {
    let head = "| | calls of a request | CPU a request | CPU a call | requests/s | p50 | p99 | no answer |";
    let mut lines = vec![head.to_owned(), "|---|--:|--:|--:|--:|--:|--:|--:|".to_owned()];
    lines.extend(rows.iter().map(|row| {
        #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
        let a_call = row.processor.median / row.width as f64;
        let (subject, width) = (row.subject, row.width);
        format!("| {subject} | {width} | {} µs | {a_call:.0} µs {}", spread(row.processor, 0), times(row))
    }));
    lines
}

fn times(row: &Row) -> String {
    let (p50, p99) = (milliseconds(row.p50.median), milliseconds(row.p99.median));
    let failed = if row.failed == 0 { String::new() } else { row.failed.to_string() };
    format!("| {:.0} | {p50} | {p99} | {failed} |", row.per_second.median)
}

/// Says how often and how long, and how much of what is seen is noise.
fn how(rows: &[&Row], effort: Effort) -> String {
    let Effort { rounds, time } = effort;
    let often = match rounds {
        1 => "One round".to_owned(),
        _ => format!("{rounds} rounds, of each figure the median (least–greatest)"),
    };
    let differ =
        |figure: fn(&Row) -> Option<Spread>| noise(rows, figure).map(|noise| format!("{:.0} %", noise * 100.0));
    let noise = differ(|row| Some(row.processor)).map(|times| {
        let ratios = differ(|row| row.processor_ratio).map(|ratios| format!(", a ratio by {ratios}")).unwrap_or_default();
        format!(
            " From one round to another the CPU of the same program differs by {times}{ratios} (least to greatest, in the usual \
             row): less is noise."
        )
    });
    format!("{often}; each time {} s at least.{}", time.as_secs(), noise.unwrap_or_default())
}

fn spread(spread: Spread, decimals: usize) -> String {
    let Spread { median, min, max } = spread;
    if min.total_cmp(&max).is_eq() {
        return format!("{median:.decimals$}");
    }
    format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
}

fn milliseconds(microseconds: f64) -> String {
    format!("{:.1} ms", microseconds / 1e3)
}
