//! `fanout compare` on a terminal: what it shows while requests are in flight, and at the end.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fake_gateway;
mod screen;

use std::time::Duration;

use fake_gateway::{Behaviour, FakeGateway};
use screen::{CTRL_C, Ended, Screen};

/// Starts a gateway that replies to each request when the test releases it.
async fn held() -> FakeGateway {
    let call = Duration::from_millis(300);
    FakeGateway::start(Behaviour { user: call, country: call, held: true, ..Behaviour::default() }).await
}

fn start(gateway: &FakeGateway, columns: u16, rows: u16) -> Screen {
    Screen::start_with(columns, rows, &["compare", "--gateway", &gateway.url], &[])
}

/// Waits for a drawing of this run in flight, as it is this many seconds after the run's start or later. Returns the
/// drawing, of which the last line is there, and the seconds that it shows.
async fn wait_for_growing(screen: &mut Screen, strategy: &str, seconds: f64) -> (Vec<String>, f64) {
    let is_complete = |lines: &[String]| {
        let last = lines.last()?;
        (last.trim_start().starts_with("0 s") || last.starts_with('◆')).then_some(())
    };
    let shown = |lines: &[String]| {
        is_complete(lines)?;
        let heading = format!("{strategy}  waiting ");
        let shown: f64 = lines.iter().find_map(|line| line.strip_prefix(&heading)?.strip_suffix(" s")?.parse().ok())?;
        (shown >= seconds).then_some(shown)
    };
    let lines = screen.wait_for(&format!("{strategy} after {seconds} s"), |lines| shown(lines).is_some()).await;
    let shown = shown(&lines).unwrap();
    (lines, shown)
}

/// Releases the runs one by one, each while its drawing grows, and returns what is on the screen at the end.
async fn run_to_the_end(gateway: &FakeGateway, mut screen: Screen) -> Ended {
    for strategy in ["sequential", "concurrent", "spawned"] {
        wait_for_growing(&mut screen, strategy, 0.0).await;
        gateway.release();
    }
    screen.end().await
}

/// Asserts that the lines are exactly those of the result: no remnants of the live drawing, each line once.
#[track_caller]
fn assert_is_result(ended: &Ended, gateway: &FakeGateway) {
    let text = ended.text();
    assert_eq!(ended.code, Some(0), "{text}");
    assert!(!text.contains("waiting"), "{text}");
    let begins: Vec<_> =
        ended.lines.iter().map(|line| line.split("  ").find(|part| !part.is_empty()).unwrap_or("").trim()).collect();
    let title = format!("GetProfile of ada at {}", gateway.url);
    let run = |strategy| [strategy, "user", "country"];
    let trace = "trace 0af7651916cd43dd8448eb211c80319c";
    let axis = begins.iter().find(|part| part.starts_with('┬')).copied().unwrap_or("no axis");
    let mut expected = vec![title.as_str(), ""];
    expected.extend(["sequential", "concurrent", "spawned"].into_iter().flat_map(run));
    expected.extend([axis, "0 s", "◆ ended last: the one to speed up first", ""]);
    expected.extend(["strategy", "sequential", "concurrent", "spawned", ""]);
    expected.push("joining saves 300 ms: 600 ms in turn, 300 ms together");
    expected.push("a task for each call changes nothing: 300 ms, 300 ms in one task");
    assert_eq!(begins, expected, "{text}");
    assert_eq!(text.matches(trace).count(), 3, "{text}");
    assert!(ended.shows_cursor);
}

/// Asserts that the drawing of a first run has one bar, which is as long on the axis as the run has taken.
#[track_caller]
fn assert_one_bar(lines: &[String], shown: f64, columns: u16) {
    let text = lines.join("\n");
    let [_title, _empty, _heading, bar, axis, labels] = lines else { panic!("{text}") };
    assert!(bar.starts_with("  …  ") && bar.ends_with(&format!("  {shown:.1} s")), "{text}");
    assert!(labels.trim_start().starts_with("0 s"), "{text}");
    let (number, unit) = labels.split("  ").last().unwrap().trim().split_once(' ').unwrap();
    assert_eq!(unit, "s", "{text}");
    let end: f64 = number.parse().unwrap();
    assert!([1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0].contains(&end) && shown <= end, "{text}");
    let count = |line: &str, of: &str| u16::try_from(line.chars().filter(|c| of.contains(*c)).count()).unwrap();
    let cells = f64::from(count(axis, "─┬")) - 1.0;
    let (expected, drawn) = (shown / end * cells, f64::from(count(bar, "█▏▎▍▌▋▊▉")));
    // The figure is rounded to a tenth of a second.
    assert!((expected - drawn).abs() <= 0.05 / end * cells + 1.0, "{expected} cells of {cells}:\n{text}");
    assert!(cells > f64::from(columns) * 0.7, "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bar_of_the_first_run_grows_with_an_axis_that_is_extended() {
    for columns in [80, 120] {
        let gateway = held().await;
        let mut screen = start(&gateway, columns, 50);
        for seconds in [0.0, 0.5, 1.1] {
            let (lines, shown) = wait_for_growing(&mut screen, "sequential", seconds).await;
            assert_one_bar(&lines, shown, columns);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_is_drawn_while_the_next_one_grows_below_it() {
    for columns in [80, 120] {
        let gateway = held().await;
        let mut screen = start(&gateway, columns, 50);
        wait_for_growing(&mut screen, "sequential", 0.0).await;
        gateway.release();
        for seconds in [0.1, 0.4] {
            let (lines, shown) = wait_for_growing(&mut screen, "concurrent", seconds).await;
            let text = lines.join("\n");
            assert!(lines[2].starts_with("sequential  waited ") && lines[4].ends_with("300 ms ◆"), "{text}");
            // The calls have the names of the first run, and start together.
            assert!(lines[6].starts_with("  user     █") && lines[7].starts_with("  country  █"), "{text}");
            let time = format!("  {shown:.1} s");
            assert!(lines[6].ends_with(&time) && lines[7].ends_with(&time), "{text}");
            assert_eq!(lines.len(), 11, "{text}");
            assert_eq!(text.matches("sequential").count(), 1, "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_takes_the_place_of_the_drawing() {
    for columns in [80, 120] {
        let gateway = held().await;
        let screen = start(&gateway, columns, 50);
        assert_is_result(&run_to_the_end(&gateway, screen).await, &gateway);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drawing_that_is_higher_than_the_terminal_shows_its_end_and_leaves_no_remnants() {
    let gateway = held().await;
    let mut screen = start(&gateway, 80, 10);
    for strategy in ["sequential", "concurrent", "spawned"] {
        let (lines, _) = wait_for_growing(&mut screen, strategy, 0.0).await;
        assert!(lines.len() <= 9, "one row is the cursor's: {lines:#?}");
        gateway.release();
    }
    assert_is_result(&screen.end().await, &gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_cursor_visible_and_below_the_drawing() {
    for rows in [50, 10] {
        let gateway = held().await;
        let mut screen = start(&gateway, 80, rows);
        wait_for_growing(&mut screen, "sequential", 0.0).await;
        gateway.release();
        wait_for_growing(&mut screen, "concurrent", 0.0).await;
        screen.type_keys(CTRL_C).await;
        let ended = screen.end().await;
        assert_eq!(ended.code, None, "ended by the signal: {}", ended.text());
        assert!(ended.shows_cursor);
        let drawing = ended.lines.iter().rposition(|line| !line.contains("^C")).unwrap();
        assert!(usize::from(ended.cursor_row) > drawing, "row {} of\n{}", ended.cursor_row, ended.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_gets_no_escape_sequences() {
    let gateway = held().await;
    (0..3).for_each(|_| gateway.release());
    let args = ["compare", "--gateway", &gateway.url];
    let ended = Screen::start_with(80, 50, &args, &[("TERM", "dumb")]).end().await;
    assert_is_result(&ended, &gateway);
}
