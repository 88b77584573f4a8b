//! What `fanout` prints when it is called without a command, with a wrong one, or for help.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod screen;

use screen::Screen;

#[tokio::test]
async fn the_help_names_every_command() {
    for columns in [80, 120] {
        let ended = Screen::start(columns, &["--help"]).end().await;
        assert_eq!(ended.code, Some(0));
        for command in ["up", "compare", "load", "gateway", "user-service", "country-service"] {
            let is_its_line = |line: &String| line.split_whitespace().next() == Some(command);
            assert!(ended.lines.iter().any(is_its_line), "{command} in\n{}", ended.text());
        }
    }
}
