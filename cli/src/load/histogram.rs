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

/// How many rows a histogram has, about.
const ROWS: u32 = 10;
/// From this ratio of the longest to the shortest on, rows grow with what they stand for.
const WIDE_RANGE: u32 = 10;
/// Longer bars show nothing more.
const MAX_CELLS: usize = 50;

/// Draws the distribution: a row for each range of latencies, as long as they are many.
/// Nothing where all are in the same range: then there is nothing to see.
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

/// Round edges of ranges that together hold all from the shortest to the longest.
fn edges(min: Duration, max: Duration) -> Vec<Duration> {
    // Finer than half a percent, a row would be noise, and in the end its edges would read the same.
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

/// The largest round duration that is not above this one.
fn round_down(duration: Duration) -> Duration {
    // Steps of 1, 2 and 5 are at most 2.5 apart, those of time too: what is above a fifth and not above the whole.
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
    fn edges_are_round_and_hold_everything() {
        assert_eq!(millis(6001, 6004), [6000, 6050]);
        assert_eq!(millis(100, 190), [100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200]);
        assert_eq!(millis(3, 1000), [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]);
        assert_eq!(edges(Duration::ZERO, Duration::ZERO).len(), 2);
    }
}
