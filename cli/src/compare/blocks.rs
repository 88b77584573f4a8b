//! The runs as text for a pipe or a file: each is printed as soon as it is done, and nothing is drawn twice.

use std::time::Duration;

use crate::{
    compare::{
        run::Run,
        waterfall::{Layout, has_calls, joined},
    },
    terminal::capabilities::Terminal,
};

/// Draws one run after the other. Runs that fit the axis of those before them share it.
pub(super) struct Blocks {
    terminal: Terminal,
    /// The layout of the last blocks, whose axis is still to come.
    open: Option<Layout>,
    runs: Vec<Run>,
}

// === impl Blocks ===

impl Blocks {
    /// Starts without a run.
    pub(super) fn new(terminal: Terminal) -> Self {
        Self { terminal, open: None, runs: Vec::new() }
    }

    /// Returns the text of one more run: its block, and before it the axis of the blocks above unless the run fits it.
    pub(super) fn push(&mut self, run: &Run) -> String {
        let Terminal { width, style } = self.terminal;
        self.runs.push(run.clone());
        let is_open = self.open.is_some();
        let mut lines = Vec::new();
        let layout = match self.open.take() {
            Some(open) if open.fits(run) => open,
            open => {
                lines.extend(open.iter().flat_map(Layout::axis));
                Layout::new(std::slice::from_ref(run), Duration::ZERO, width, style)
            }
        };
        lines.extend(layout.block(run));
        // A run without bars neither needs an axis nor sets one for the others.
        self.open = (is_open || has_calls(run)).then_some(layout);
        joined(&lines)
    }

    /// Returns the last axis, and what the glyphs mean.
    pub(super) fn end(&self) -> String {
        let Some(open) = &self.open else { return String::new() };
        let mut lines = Vec::from(open.axis());
        lines.extend(open.legend(&self.runs));
        joined(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::{
            fixtures::{call, profile, run, unreachable},
            waterfall::waterfall,
        },
        gateway_client::request::Strategy,
        terminal::style::Style,
    };

    const TERMINAL: Terminal = Terminal { width: 80, style: Style::PLAIN };

    fn blocks(runs: &[Run]) -> Vec<String> {
        let mut blocks = Blocks::new(TERMINAL);
        let mut texts: Vec<_> = runs.iter().map(|run| blocks.push(run)).collect();
        texts.push(blocks.end());
        texts
    }

    #[test]
    fn runs_no_longer_than_the_first_share_its_axis_as_on_a_terminal() {
        let texts = blocks(&profile());
        assert_eq!(texts.concat(), waterfall(&profile(), 80, Style::PLAIN));
        assert_eq!(texts[0].lines().next().unwrap().split("  ").next(), Some("sequential"));
        assert_eq!((texts[0].lines().count(), texts[1].lines().count(), texts[2].lines().count()), (3, 3, 3));
    }

    #[test]
    fn a_longer_run_has_an_axis_of_its_own() {
        let [in_turn, together] = profile().try_into().unwrap();
        let texts = blocks(&[together, in_turn]);
        let begins = |line: &str| texts[1].lines().position(|other| other.trim_start().starts_with(line));
        assert_eq!((begins("┬"), begins("0 s"), begins("sequential")), (Some(0), Some(1), Some(2)), "{}", texts[1]);
        assert_eq!(texts.concat().matches('┬').count(), 4 + 7, "{}", texts.concat());
    }

    #[test]
    fn a_run_that_is_hardly_longer_shares_the_axis() {
        let one = run(Strategy::Concurrent, vec![call("user", 0, 3000)]);
        let other = run(Strategy::Spawned, vec![call("user", 0, 3020)]);
        let text = blocks(&[one, other]).concat();
        assert_eq!(text.lines().filter(|line| line.contains('┬')).count(), 1, "{text}");
    }

    #[test]
    fn a_run_without_a_report_needs_no_axis_and_keeps_that_of_the_others() {
        let texts = blocks(&[unreachable()]);
        assert_eq!(texts.concat(), "spawned  waited 0 s\n  ✗ UNAVAILABLE: gone\n");
        let texts = blocks(&[profile().remove(0), unreachable()]);
        assert!(!texts[1].contains('┬') && texts[2].contains('┬') && texts[2].contains('◆'), "{}", texts.concat());
    }
}
