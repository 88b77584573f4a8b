//! `fanout analyze` on a terminal.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod screen;

use screen::Screen;

fn fixture(name: &str) -> String {
    format!("{}/tests/traces/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_waterfall_marks_the_critical_path_and_fits() {
    for columns in [80, 120] {
        let ended = Screen::start(columns, &["analyze", &fixture("jaeger.json")]).end().await;
        assert_eq!(ended.code, Some(0));
        let text = ended.text();
        assert!(ended.lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
        let row = |name: &str| ended.lines.iter().find(|line| line.trim_start().starts_with(name)).unwrap();
        assert_eq!(ended.lines[0], "frontend: HTTP GET /dispatch  705 ms  4 spans");
        assert_eq!(ended.lines[1], "trace 00000000000000003c191d03fa8be065");
        let (root, first, last) = (&ended.lines[2], row("frontend: GetCustomer"), row("frontend: FindNearest"));
        assert!(root.contains('▒') && root.contains("705 ms"), "{text}");
        assert!(last.contains('█') && !last.contains('▒') && last.ends_with("400 ms ◆ ✗"), "{text}");
        let begin = |line: &str| line.chars().position(|c| "█▒".contains(c)).unwrap();
        let end = |line: &str| line.chars().collect::<Vec<_>>().iter().rposition(|c| "█▒".contains(*c)).unwrap();
        assert!(end(first).abs_diff(begin(last)) <= 1, "one begins where the other ends: {text}");
        assert_eq!((begin(root), end(root)), (begin(first), end(root)), "{text}");
        let axis = ended.lines.iter().position(|line| line.trim_start().starts_with('┬')).unwrap();
        assert!(ended.lines[axis + 1].trim_start().starts_with("0 s"), "{text}");
        assert!(text.contains("\nIt took 705 ms; joining calls would save up to 300 ms.\n"), "{text}");
        assert!(text.contains("\nTo change it: "), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_traces_fit_too() {
    for columns in [40, 80, 120] {
        let ended = Screen::start_with(columns, 50, &["analyze", &fixture("fanout.pb")], &[]).end().await;
        assert_eq!(ended.code, Some(0));
        let is_wide = |line: &&String| line.chars().count() > usize::from(columns);
        assert_eq!(ended.lines.iter().find(is_wide), None, "{}", ended.text());
        let rows: Vec<_> = ended.lines.iter().filter(|line| line.contains("UserService/GetUser")).collect();
        assert!(columns < 80 || !rows.is_empty(), "{}", ended.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ascii_and_no_color_have_neither_glyphs_nor_colours() {
    let ended = Screen::start(80, &["analyze", "--ascii", &fixture("jaeger.json")]).end().await;
    assert!(ended.text().is_ascii(), "{}", ended.text());
    assert!(ended.text().contains("####") && ended.text().contains("400 ms * x"), "{}", ended.text());
    for (env, colours) in [("", true), ("1", false)] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_fanout"))
            .args(["analyze", "--color", if colours { "always" } else { "auto" }, &fixture("jaeger.json")])
            .env("NO_COLOR", env)
            .output()
            .unwrap();
        assert_eq!(output.stdout.contains(&0x1b), colours);
    }
}
