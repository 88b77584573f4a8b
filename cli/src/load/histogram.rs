//! The distribution of latencies as rows of bars.

use std::time::Duration;

use crate::{
    load::latencies::Latencies,
    terminal::{
        bar::{self, Fill, PER_CELL},
        scale::round_up,
        style::{Role, Style},
        text_layout::{grouped, pad_left, width},
    },
};

/// The approximate number of rows.
const ROWS: u32 = 10;
/// If the longest latency is more than this many times the shortest, the ranges of rows grow with the latency.
const WIDE_RANGE: u32 = 10;
/// The longest bar.
const MAX_CELLS: usize = 50;

/// Draws the distribution: a row for each range of latencies, with a bar in proportion to their number.
///
/// Returns an empty text if all are in the same range.
pub fn histogram(latencies: &Latencies, columns: usize, style: Style) -> String {
    let edges = edges(latencies.min(), latencies.max());
    let names: Vec<String> = edges.iter().map(|edge| style.duration(*edge)).collect();
    let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let label =
        |from: &str, to: &str| format!("{} {} {}", pad_left(from, widest), style.glyph("–", "-"), pad_left(to, widest));
    let rows: Vec<(String, u64)> = edges
        .windows(2)
        .zip(names.windows(2))
        .map(|(edge, name)| (label(&name[0], &name[1]), latencies.between(edge[0], edge[1])))
        .collect();
    if rows.len() < 2 {
        return String::new();
    }
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let labels = rows.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let counts = width(&grouped(most));
    let cells = columns.saturating_sub(2 + labels + 2 + 1 + counts).clamp(1, MAX_CELLS);
    let mut text = String::new();
    for (label, count) in rows {
        let bar = match count {
            0 => " ".repeat(cells),
            count => bar::draw(0, eighths(count, most, cells), cells, Fill::Solid, Role::Good, style),
        };
        let line = format!("  {label}  {bar} {}", pad_left(&grouped(count), counts));
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Returns round edges of ranges that contain everything from the shortest to the longest.
fn edges(min: Duration, max: Duration) -> Vec<Duration> {
    // Rows finer than half a percent would show noise, and their edges would look the same.
    let finest = round_up(max / 200);
    if max > min.saturating_mul(WIDE_RANGE) {
        let mut edges = vec![round_down(min)];
        while edges.last().is_some_and(|last| *last <= max) {
            edges.push(round_up(edges[edges.len() - 1] + Duration::from_nanos(1)));
        }
        return edges;
    }
    let step = round_up(max.saturating_sub(min) / ROWS).max(finest).as_nanos().max(1);
    let (first, last) = (min.as_nanos() / step, max.as_nanos() / step + 1);
    (first..=last).map(|index| Duration::from_nanos(u64::try_from(index * step).unwrap_or(u64::MAX))).collect()
}

/// Returns the largest round duration that is not longer than this one.
fn round_down(duration: Duration) -> Duration {
    // Consecutive round durations differ by a factor of at most 2.5, so there is one above a fifth of this one.
    let mut round = round_up(duration / 5);
    loop {
        let next = round_up(round + Duration::from_nanos(1));
        if next > duration {
            return round.min(duration);
        }
        round = next;
    }
}

fn eighths(count: u64, most: u64, cells: usize) -> usize {
    let parts = u128::from(count) * (cells * PER_CELL) as u128 / u128::from(most);
    usize::try_from(parts).unwrap_or(cells * PER_CELL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(min: u64, max: u64) -> Vec<u128> {
        edges(Duration::from_millis(min), Duration::from_millis(max)).iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn edges_are_round_and_contain_everything() {
        assert_eq!(millis(6001, 6004), [6000, 6050]);
        assert_eq!(millis(100, 190), [100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200]);
        assert_eq!(millis(3, 1000), [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]);
        assert_eq!(edges(Duration::ZERO, Duration::ZERO).len(), 2);
    }
}
