//! How the runs are shown while they come in: drawn in place on a terminal, one after the other in a pipe, or as one
//! document at the end.

use std::time::Duration;

use crate::{
    compare::{
        CompareArgs,
        blocks::Blocks,
        growing::{growing, tenths},
        json::Document,
        run::Run,
        table, verdict,
        waterfall::waterfall,
    },
    completion::ClientError,
    gateway_client::request::Strategy,
    terminal::{
        capabilities::Terminal, live_line::LiveLine, live_region::LiveRegion, stdout, style::Role, text_layout::wrap,
    },
};

/// Shows the runs of a comparison.
pub(super) struct Presentation<'a> {
    args: &'a CompareArgs,
    runs: Vec<Run>,
    medium: Medium,
}

enum Medium {
    /// A terminal: the drawing grows in place, and the result takes its place.
    Live(LiveRegion),
    /// A pipe, or a terminal that cannot be redrawn.
    Text(Blocks),
    Json,
}

// === impl Presentation ===

impl<'a> Presentation<'a> {
    /// Chooses how to show the runs. Shows nothing yet.
    pub(super) fn new(args: &'a CompareArgs) -> Self {
        let medium = match LiveRegion::new() {
            _ if args.output.json => Medium::Json,
            Some(region) => Medium::Live(region),
            None => Medium::Text(Blocks::new(args.output.terminal())),
        };
        Self { args, runs: Vec::new(), medium }
    }

    /// Waits for a run, and shows meanwhile that it is in flight.
    pub(super) async fn wait_for(&mut self, strategy: Strategy, run: impl Future<Output = Run>) -> Run {
        if let Medium::Live(region) = &mut self.medium {
            let draw = |elapsed| drawing_of(self.args, &self.runs, strategy, elapsed);
            return region.draw_until(run, draw).await;
        }
        let line = LiveLine::start(move |elapsed| format!("{} ... {}", strategy.name(), tenths(elapsed)));
        let run = run.await;
        line.finish().await;
        run
    }

    /// Adds a run, and prints it if that is done one by one.
    ///
    /// # Errors
    ///
    /// Returns an error if standard output cannot be written.
    pub(super) fn add(&mut self, run: Run) -> Result<(), ClientError> {
        if let Medium::Text(blocks) = &mut self.medium {
            let title =
                if self.runs.is_empty() { title(self.args, self.args.output.terminal()) } else { String::new() };
            stdout::print(&(title + &blocks.push(&run)))?;
        }
        self.runs.push(run);
        Ok(())
    }

    /// Prints what is still missing, and returns the runs.
    ///
    /// # Errors
    ///
    /// Returns an error if standard output cannot be written.
    pub(super) fn finish(self) -> Result<Vec<Run>, ClientError> {
        let Self { args, runs, medium } = self;
        let terminal = args.output.terminal();
        match medium {
            Medium::Live(region) => {
                let bars = waterfall(&runs, terminal.width, terminal.style);
                region.replace(&(title(args, terminal) + &bars + &figures(&runs, terminal)))?;
            }
            Medium::Text(blocks) => stdout::print(&(blocks.end() + &figures(&runs, terminal)))?,
            Medium::Json => {
                let document = serde_json::to_string_pretty(&Document::new(&args.request, &runs))?;
                stdout::print(&(document + "\n"))?;
            }
        }
        Ok(runs)
    }

    /// Removes a drawing whose comparison cannot go on.
    ///
    /// # Errors
    ///
    /// Returns an error if standard output cannot be written.
    pub(super) fn abandon(self) -> Result<(), ClientError> {
        match self.medium {
            Medium::Live(region) => Ok(region.replace("")?),
            Medium::Text(_) | Medium::Json => Ok(()),
        }
    }
}

fn drawing_of(args: &CompareArgs, finished: &[Run], strategy: Strategy, elapsed: Duration) -> String {
    // Each time anew: the terminal may have another size now.
    let terminal = args.output.terminal();
    title(args, terminal) + &growing(finished, strategy, elapsed, terminal.width, terminal.style)
}

/// Returns what is requested from whom, and an empty line.
fn title(args: &CompareArgs, Terminal { style, .. }: Terminal) -> String {
    style.paint(Role::Quiet, &format!("{} at {}", args.request.describe(), args.request.options.gateway)) + "\n\n"
}

/// Returns the figures of all runs, and what they mean.
fn figures(runs: &[Run], Terminal { width, style }: Terminal) -> String {
    let mut text = format!("\n{}\n", table::table(runs, width, style));
    for sentence in verdict::verdict(runs, style).lines() {
        text.push_str(&wrap(sentence, width, 0));
        text.push('\n');
    }
    text
}
