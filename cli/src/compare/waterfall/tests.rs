//! The exact text that `compare` draws for given runs.

use std::time::Duration;

use super::waterfall;
use crate::{
    compare::{
        fixtures::{call, chain, ended, failure, not_found, profile, run, unreachable},
        run::Run,
        table::table,
        verdict::verdict,
    },
    gateway_client::{report::Call, report::CallState, request::Strategy},
    terminal::{style::Style, text_layout::width},
};

#[track_caller]
fn assert_text(text: &str, expected: &str) {
    assert_eq!(text, expected.trim_start_matches('\n'), "\n{text}");
}

#[test]
fn a_profile_at_width_60() {
    assert_text(
        &(waterfall(&profile(), 60, Style::PLAIN)),
        "
sequential  waited 6.01 s
  trace 0af7651916cd43dd8448eb211c80319c
  user     ███████████████████                      3.00 s
  country                     ███████████████████   3.00 s ◆
concurrent  waited 3.01 s
  trace 0af7651916cd43dd8448eb211c80319c
  user     ███████████████████                      3.00 s
  country  ███████████████████                      3.00 s ◆
           ┬────────────┬───────────┬────────────┬
           0 s          2 s         4 s          6 s
◆ ended last: the one to speed up first
",
    );
}

#[test]
fn a_failure_at_width_80_in_ascii() {
    let text = waterfall(&failure(), 80, Style::ASCII) + &table(&failure(), 80, Style::ASCII);
    assert_text(
        &text,
        "
concurrent  waited 1.26 s  trace 0af7651916cd43dd8448eb211c80319c
  x NOT_FOUND: no user \"x\" is known to the service, which has looked in all of
    its places
  user      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx    1.20 s x NOT_FOUND
  country   ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~   1.25 s * ~ cancelled
  language                                                  - skipped
  flag         #########                             300 ms 2 attempts hedge won
            +--------------+--------------+--------
            0 s            500 ms         1 s
* ended last: the one to speed up first
strategy  concurrent
waited        1.26 s
wall          1.25 s
total         2.75 s
saved         1.50 s
avoidable        0 s
ok                 1
failed             1
cancelled          1
skipped            1
",
    );
}

#[test]
fn a_failure_at_width_40() {
    let text = waterfall(&failure(), 40, Style::PLAIN) + &table(&failure(), 40, Style::PLAIN);
    assert_text(
        &text,
        "
concurrent  waited 1.26 s
  trace 0af7651916cd43dd8448eb211c80319c
  ✗ NOT_FOUND: no user \"x\" is known to
    the service, which has looked in all
    of its places
  user     ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  1.20 s ✗
  country  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ 1.25 s ◆ ◌
  language                           –
  flag      ▐███▊             300 ms
           ┬─────────────┬────
           0 s           1 s
◆ ended last: the one to speed up first,
✗ failed, ◌ cancelled, – skipped
strategy  concurrent
waited        1.26 s
wall          1.25 s
total         2.75 s
saved         1.50 s
avoidable        0 s
ok                 1
failed             1
cancelled          1
skipped            1
",
    );
}

#[test]
fn figures_at_width_80() {
    assert_text(
        &table(&profile(), 80, Style::PLAIN),
        "
strategy     waited     wall    total    saved   avoidable   calls
sequential   6.01 s   6.00 s   6.00 s      0 s      3.00 s    2 ok
concurrent   3.01 s   3.00 s   6.00 s   3.00 s         0 s    2 ok
",
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut runs = profile();
    runs.push(run(
        Strategy::Spawned,
        vec![
            ended(not_found(), call(&"a-very-long-name".repeat(9), 0, 1)),
            Call {
                attempts: 3, ..ended(CallState::Cancelled, call("日本語の名前はとても長いです", 0, 599_000))
            },
            ended(CallState::Skipped, call("\u{1b}[31mred", 0, 0)),
        ],
    ));
    for columns in 40..=160 {
        for style in [Style::PLAIN, Style::ASCII] {
            let text = waterfall(&runs, columns, style) + &table(&runs, columns, style);
            let wide: Vec<_> = text.lines().filter(|line| width(line) > columns).collect();
            assert!(wide.is_empty(), "{columns}: {wide:#?}");
            assert!(!text.contains('\u{1b}'));
        }
    }
}

#[test]
fn a_thousand_calls_are_elided_and_counted() {
    let mut calls: Vec<Call> = (0..1000).map(|index| call(&format!("user-{index}"), index, 10)).collect();
    calls[500].state = not_found();
    calls[999].critical = true;
    let text = waterfall(&[run(Strategy::Concurrent, calls)], 80, Style::PLAIN);
    assert!(text.contains("  … 984 more: 984 ok\n"), "{text}");
    assert!(text.contains("user-500") && text.contains("user-999") && text.contains("user-13 "), "{text}");
    assert!(text.lines().count() < 30);
}

#[test]
fn calls_of_no_duration_are_visible() {
    let text =
        waterfall(&[run(Strategy::Concurrent, vec![call("user", 0, 0), call("country", 0, 0)])], 60, Style::PLAIN);
    assert!(text.contains("  user     ▏ ") && text.contains("  country  ▏ ") && text.contains("0 s"), "{text}");
}

#[test]
fn a_run_without_calls_or_report_is_explained() {
    let none = Run { strategy: Strategy::Spawned, waited: Duration::ZERO, result: Ok(None) };
    assert_eq!(waterfall(&[none], 60, Style::PLAIN), "spawned  waited 0 s\n  the reply holds no report\n");
    assert_eq!(waterfall(&[], 60, Style::PLAIN), "");
    assert_eq!(waterfall(&[unreachable()], 60, Style::ASCII), "spawned  waited 0 s\n  x UNAVAILABLE: gone\n");
}

#[test]
fn the_verdict_follows_the_measured_times() {
    let text = |runs: &[Run]| verdict(runs, Style::PLAIN);
    assert_eq!(text(&profile()), "joining saves 3.00 s: 6.00 s in turn, 3.00 s together");
    assert_eq!(text(&profile()[..1]), "joining would save 3.00 s of 6.00 s");
    assert_eq!(text(&profile()[1..]), "joining saved 3.00 s: 3.00 s together, 6.00 s if in turn");
    assert_eq!(
        text(&Strategy::ALL.map(|strategy| chain(strategy, 3000))),
        "joining saves nothing: 6.00 s in turn, 6.00 s together; the calls depend on one another\n\
         a task for each call changes nothing: 6.00 s, 6.00 s in one task"
    );
    let lopsided = [
        run(Strategy::Sequential, vec![call("user", 0, 3000), call("country", 3000, 10)]),
        run(Strategy::Spawned, vec![call("user", 0, 3000), call("country", 0, 10)]),
    ];
    assert!(text(&lopsided).ends_with("one call takes nearly all of the time"));
    let micros = |micros| Call { duration: Duration::from_micros(micros), ..call("user", 0, 0) };
    let short = |strategy, calls: [u64; 2], wall| {
        let mut run = run(strategy, calls.map(micros).into());
        run.result.as_mut().unwrap().as_mut().unwrap().wall = Duration::from_micros(wall);
        run
    };
    let short = [short(Strategy::Sequential, [500, 400], 900), short(Strategy::Concurrent, [500, 400], 500)];
    assert_eq!(text(&short), "joining saves nothing: 900 µs in turn, 500 µs together; the calls are too short to tell");
    let partial = run(Strategy::Sequential, vec![ended(not_found(), call("user", 0, 1))]);
    assert!(text(&[partial]).starts_with("nothing to compare"));
}
