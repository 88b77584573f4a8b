//! The help of the commands that call the gateway: on a terminal it keeps its lines, and its examples work.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod screen;

use fanout_cli::{services::SERVICES, usage};
use screen::Screen;

/// Returns the commands in the examples of a help text, without what they are for.
fn examples(lines: &[String]) -> Vec<Vec<&str>> {
    let after = lines.iter().skip_while(|line| *line != "Examples:").skip(1);
    let commands = after.filter(|line| line.starts_with("  fanout "));
    commands.map(|line| line.trim().split("  ").next().unwrap().split(' ').collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_help_can_be_typed() {
    for (command, count) in
        [("compare", 7), ("load", 4), ("call", 5), ("view", 3), ("up", 5), ("certs", 3), ("analyze", 7)]
    {
        for (columns, flag) in [(80, "-h"), (80, "--help"), (120, "--help")] {
            let ended = Screen::start_with(columns, 200, &[command, flag], &[]).end().await;
            assert_eq!(ended.code, Some(0));
            let mut last = ended.lines.iter().skip_while(|line| *line != "Examples:").skip(1);
            assert!(last.all(|line| line.starts_with("  fanout ")), "no line is wrapped: {}", ended.text());
            let examples = examples(&ended.lines);
            assert_eq!(examples.len(), count, "{}", ended.text());
            for example in examples {
                let parsed = usage::command("fanout").try_get_matches_from(&example);
                assert!(parsed.is_ok_and(|matches| matches.subcommand_name() == Some(command)), "{example:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_a_services_help_can_be_typed() {
    for service in SERVICES {
        let ended = Screen::start_with(80, 200, &[service.name, "--help"], &[]).end().await;
        let after = ended.lines.iter().skip_while(|line| *line != "Examples:").skip(1);
        let examples: Vec<Vec<&str>> = after.map(|line| line.trim().split(' ').collect()).collect();
        assert!(!examples.is_empty(), "{}", ended.text());
        for example in examples {
            assert_eq!(example[0], service.name, "no line is wrapped: {}", ended.text());
            // A file that an example names is not there; a shell takes the quotes away.
            let values =
                example.iter().filter(|word| !word.contains("service-config")).map(|word| word.trim_matches('\''));
            (service.command)().try_get_matches_from(values).unwrap_or_else(|error| panic!("{example:?}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_help_of_compare_explains_the_drawing() {
    for columns in [80, 120] {
        let ended = Screen::start_with(columns, 200, &["compare", "--help"], &[]).end().await;
        let text = ended.text();
        for words in
            ["◆ marks the call that ended last: the one to", "  saved      what overlapping saved", "✗  ▓▓▓  failed"]
        {
            assert!(text.contains(words), "{words:?} in\n{text}");
        }
        assert!(
            text.contains("\n    country               █████████████     3.00 s ◆\n"),
            "no line is wrapped: {text}"
        );
    }
}
