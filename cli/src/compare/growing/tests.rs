//! The exact text that `compare` draws while a request is in flight.

use super::*;
use crate::{
    compare::{
        fixtures::{call, chain, profile, run, unreachable},
        waterfall::waterfall,
    },
    terminal::text_layout::width,
};

fn drawn(finished: &[Run], strategy: Strategy, millis: u64) -> String {
    growing(finished, strategy, Duration::from_millis(millis), 60, Style::PLAIN)
}

#[track_caller]
fn assert_text(text: &str, expected: &str) {
    assert_eq!(text, expected.trim_start_matches('\n'), "\n{text}");
}

#[test]
fn the_first_run_is_one_bar_on_an_axis_that_is_extended() {
    assert_text(
        &drawn(&[], Strategy::Sequential, 700),
        "
sequential  waiting 0.7 s
  …     ██████████████████████████████▏                0.7 s
        ┬─────────────────────┬────────────────────┬
        0 s                   500 ms               1 s
",
    );
    assert_text(
        &drawn(&[], Strategy::Sequential, 3700),
        "
sequential  waiting 3.7 s
  …     ███████████████████████████████▉               3.7 s
        ┬────────────────┬────────────────┬─────────
        0 s              2 s              4 s
",
    );
}

#[test]
fn the_calls_of_a_later_run_grow_below_the_finished_ones() {
    assert_text(
        &drawn(&profile()[..1], Strategy::Concurrent, 1200),
        "
sequential  waited 6.01 s
  trace 0af7651916cd43dd8448eb211c80319c
  user     ███████████████████                      3.00 s
  country                     ███████████████████   3.00 s ◆
concurrent  waiting 1.2 s
  user     ███████▋                                  1.2 s
  country  ███████▋                                  1.2 s
           ┬────────────┬───────────┬────────────┬
           0 s          2 s         4 s          6 s
◆ ended last: the one to speed up first
",
    );
}

#[test]
fn a_run_in_turn_starts_a_call_when_the_one_before_is_expected_to_end() {
    let finished = &profile()[1..];
    let text = drawn(finished, Strategy::Sequential, 1000);
    assert!(text.contains("1.0 s\n  country\n"), "{text}");
    assert_text(
        &drawn(finished, Strategy::Sequential, 4000),
        "
concurrent  waited 3.01 s
  trace 0af7651916cd43dd8448eb211c80319c
  user     ███████████████████                      3.00 s
  country  ███████████████████                      3.00 s ◆
sequential  waiting 4.0 s
  user     ███████████████████                     ≈3.00 s
  country                     ██████▍                1.0 s
           ┬────────────┬───────────┬────────────┬
           0 s          2 s         4 s          6 s
◆ ended last: the one to speed up first
",
    );
}

#[test]
fn a_run_that_takes_longer_than_expected_goes_on_with_its_last_call() {
    assert_text(
        &drawn(&[chain(Strategy::Sequential, 300)], Strategy::Concurrent, 900),
        "
sequential  waited 600 ms
  trace 0af7651916cd43dd8448eb211c80319c
  user     ████████████                               300 ms
  country              ████████████                   300 ms
concurrent  waiting 0.9 s
  user     ████████████                              ≈300 ms
  country              ████████████████████████        0.6 s
           ┬───────────────────┬───────────────────┬
           0 s                 500 ms              1 s
",
    );
}

#[test]
fn after_a_run_without_a_report_the_next_one_is_one_bar_again() {
    let text = drawn(&[unreachable()], Strategy::Concurrent, 300);
    assert!(text.starts_with("spawned  waited 0 s\n  ✗ UNAVAILABLE: gone\nconcurrent  waiting 0.3 s\n  …"), "{text}");
    assert!(!text.contains('◆'), "{text}");
}

#[test]
fn the_drawing_ends_as_the_finished_one() {
    let runs = profile();
    let growing = drawn(&runs[..1], Strategy::Concurrent, 3004);
    let finished = waterfall(&runs, 60, Style::PLAIN);
    let bars = |text: &str| {
        let lines = text.lines().filter(|line| line.contains('█') || line.contains('┬'));
        lines.map(|line| line.split("  3.0").next().unwrap().trim_end().to_owned()).collect::<Vec<_>>()
    };
    // The second run has a trace id when it is done, and digits; the bars and the axis do not move.
    assert_eq!(bars(&growing).len(), 5);
    assert_eq!(bars(&growing), bars(&finished));
}

#[test]
fn no_line_is_wider_than_the_terminal_at_any_time() {
    let mut runs = profile();
    runs.push(run(Strategy::Spawned, vec![call(&"a-very-long-name".repeat(9), 0, 1), call("b", 1, 700_000)]));
    for columns in 40..=160 {
        for style in [Style::PLAIN, Style::ASCII] {
            for (finished, millis) in [(0, 50), (0, 3_000_000), (1, 100), (2, 5000), (3, 50), (3, 700_000)] {
                let elapsed = Duration::from_millis(millis);
                let text = growing(&runs[..finished], Strategy::Spawned, elapsed, columns, style);
                let wide: Vec<_> = text.lines().filter(|line| width(line) > columns).collect();
                assert!(wide.is_empty(), "{columns}: {wide:#?}");
                assert!(style != Style::ASCII || text.is_ascii(), "{text}");
            }
        }
    }
}
