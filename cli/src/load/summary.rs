//! The result of a load test as text.

use std::time::Duration;

use crate::load::{
    histogram::histogram,
    latencies::Latencies,
    measurement::Measurement,
    tally::{CodeCount, Tally},
    workload::{Loop, Workload},
};
use rpc_layers::trace::code_name;

use crate::terminal::{
    capabilities::Terminal,
    style::{Role, Style},
    text_layout::{align, counted, cut, grouped, pad, pad_left, printable, width, wrap},
};

/// The percentiles that are shown, and their names.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// Returns the whole text.
pub fn screen(workload: &Workload, measurement: &Measurement, Terminal { width, style }: Terminal) -> String {
    let tally = &measurement.tally;
    let mut parts = vec![style.paint(Role::Quiet, &wrap(&title(workload), width, 0))];
    let sentences = sentences(workload, measurement, style);
    parts.push(sentences.iter().map(|sentence| wrap(sentence, width, 0)).collect::<Vec<_>>().join("\n"));
    if tally.done() > 0 {
        parts.push(latencies(tally, width, style));
        parts.push(codes(tally, width, style));
    }
    if let Some([total, wall, saved]) = tally.overlap.means().map(|means| means.map(|mean| style.duration(mean))) {
        let text = format!("on average {total} of calls took {wall}: overlapping saved {saved}");
        parts.push(wrap(&text, width, 0));
    }
    let histogram = histogram(&tally.ok.with(&tally.failed), width, style);
    if !histogram.is_empty() {
        let heading = style.paint(Role::Quiet, "distribution of latencies");
        parts.push(format!("{heading}\n{}", histogram.trim_end()));
    }
    parts.join("\n\n") + "\n"
}

/// Formats requests per second with three significant digits.
pub fn per_second(requests: u64, elapsed: Duration) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    let rate = requests as f64 / elapsed.as_secs_f64().max(1e-9);
    match rate {
        rate if rate >= 99.95 => {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "above 0, and a float saturates"
            )]
            let whole = rate.round() as u64;
            grouped(whole)
        }
        rate if rate >= 9.995 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

fn title(workload: &Workload) -> String {
    let strategy = workload.strategy.map_or(String::new(), |strategy| format!(", {}", strategy.name()));
    let connections = counted(workload.connections as u64, "connection");
    format!("{}{strategy} at {} over {connections}", workload.request.describe(), workload.request.options.gateway)
}

/// Returns what happened, in sentences.
fn sentences(workload: &Workload, measurement: &Measurement, style: Style) -> Vec<String> {
    let tally = &measurement.tally;
    let elapsed = style.duration(measurement.elapsed);
    let rate = per_second(tally.done(), measurement.elapsed);
    let mut sentences = Vec::new();
    match workload.load {
        Loop::Closed { callers, .. } => {
            let callers = callers as u64;
            let who = counted(callers, "caller");
            if tally.done() == callers {
                let verb = if callers == 1 { "waited" } else { "each waited" };
                let whole = if callers == 1 { "it was done" } else { "all done" };
                sentences.push(format!("{who}, {verb} {}; {whole} after {elapsed}", range(tally, style)));
            } else {
                let requests = counted(tally.done(), "request");
                sentences.push(format!("{who}, {requests} in {elapsed}: {rate} /s"));
            }
            sentences.extend(overlap_of_callers(callers, measurement, style));
        }
        Loop::Open { rate: due, .. } => {
            let requests = counted(tally.done(), "request");
            sentences.push(format!("{requests} in {elapsed}: {rate} /s of {due} /s due"));
            sentences.push("latency counts from the instant at which a request was due".to_owned());
            sentences.extend(lateness(tally, style));
        }
    }
    if measurement.interrupted {
        let abandoned = counted(tally.abandoned, "request");
        sentences.push(format!("ended early: the figures do not include {abandoned} that were in flight or due"));
    }
    sentences
}

/// Says that callers did not wait for one another, if the times show it.
fn overlap_of_callers(callers: u64, measurement: &Measurement, style: Style) -> Option<String> {
    let in_turn = measurement.tally.sum;
    // Values in between allow no clear statement.
    let apart = measurement.elapsed < in_turn.mul_f64(0.75);
    // Only with one request each: under steady load a latency includes waiting for the others.
    (callers > 1 && measurement.tally.done() == callers && apart).then(|| {
        format!("callers did not wait for one another: in turn it would have been {}", style.duration(in_turn))
    })
}

fn lateness(tally: &Tally, style: Style) -> Vec<String> {
    let mut sentences = Vec::new();
    if tally.late > 0 {
        let (late, latest) = (grouped(tally.late), style.duration(tally.latest));
        sentences.push(format!("{late} sent late, by up to {latest}: their wait is in the latency"));
    }
    if tally.unsent > 0 {
        let unsent = grouped(tally.unsent);
        sentences.push(format!("{unsent} never sent: --timeout passed while --max-in-flight requests were in flight"));
    }
    sentences
}

/// Returns the range of latencies, or one figure if both ends look the same.
fn range(tally: &Tally, style: Style) -> String {
    let all = tally.ok.with(&tally.failed);
    let (min, max) = (style.duration(all.min()), style.duration(all.max()));
    if min == max { max } else { format!("{min} to {max}") }
}

/// Returns the percentiles of all requests, and those of successful and failed ones if there are both.
fn latencies(tally: &Tally, columns: usize, style: Style) -> String {
    let names = PERCENTILES.iter().map(|(name, _)| *name);
    let heading = ["latency", "min"].into_iter().chain(names).chain(["max"]).map(str::to_owned).collect();
    let row = |name: &str, latencies: &Latencies| {
        let percentiles = PERCENTILES.iter().map(|(_, percent)| latencies.percentile(*percent));
        let figures = std::iter::once(latencies.min()).chain(percentiles).chain([latencies.max()]);
        let figures = figures.map(|figure| style.duration(figure));
        std::iter::once(name.to_owned()).chain(figures).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = vec![heading];
    if tally.failed.is_empty() || tally.ok.is_empty() {
        rows.push(row(if tally.ok.is_empty() { "failed" } else { "ok" }, &tally.ok.with(&tally.failed)));
    } else {
        rows.push(row("ok", &tally.ok));
        rows.push(row("failed", &tally.failed));
        rows.push(row("all", &tally.ok.with(&tally.failed)));
    }
    let mut lines = align(&rows, 3);
    if lines.iter().any(|line| width(line) > columns) {
        let transposed: Vec<Vec<String>> =
            (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect();
        lines = align(&transposed, 2);
    }
    lines[0] = style.paint(Role::Quiet, &lines[0]);
    lines.join("\n")
}

/// Returns the number of replies by status code, with the first message of each.
fn codes(tally: &Tally, columns: usize, style: Style) -> String {
    let codes = tally.codes();
    let names = codes.iter().map(|(code, _)| code_name(*code).len()).max().unwrap_or(0).max("latency".len());
    let counts = codes.iter().map(|(_, entry)| grouped(entry.count).len()).max().unwrap_or(0);
    let line = |(code, entry): &(tonic::Code, &CodeCount)| {
        let (name, count) = (pad(code_name(*code), names), pad_left(&grouped(entry.count), counts));
        let Some(message) = &entry.message else { return format!("{name}   {count}") };
        let room = columns.saturating_sub(names + 3 + counts + 3);
        let message = cut(&printable(message), room, style);
        style.paint(Role::Bad, &format!("{name}   {count}   {message}"))
    };
    let heading = style.paint(Role::Quiet, "replies by status code");
    std::iter::once(heading).chain(codes.iter().map(line)).collect::<Vec<_>>().join("\n")
}
