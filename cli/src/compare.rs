//! `fanout compare`: the same request with each strategy, and what joining saves.
//!
//! # Layout
//!
//! * [`measurement`]: makes one request; [`run`]: its result.
//! * `presentation`: how the runs are shown as they come in: `growing` bars on a terminal, for which `expected` guesses
//!   what a request in flight does; `blocks`, one after the other, in a pipe; [`json`] for programs.
//! * [`waterfall`]: the calls as bars on one axis; [`elision`]: which calls get a row.
//! * [`table`], [`verdict`]: the figures, and their meaning in a sentence; `noise`: which differences count.
//! * `help`: what they mean, in `--help`.

mod blocks;
pub mod elision;
mod expected;
#[cfg(test)]
mod fixtures;
mod growing;
mod help;
pub mod json;
pub mod measurement;
mod noise;
mod presentation;
pub mod run;
pub mod table;
pub mod verdict;
pub mod waterfall;

use clap::Args;

use self::{measurement::measure, presentation::Presentation};
use crate::{
    completion::{ClientError, Completion},
    gateway_client::{
        connector::Connector,
        request::{RequestArgs, Strategy},
    },
    terminal::output::OutputArgs,
};

/// The flags of `fanout compare`.
#[derive(Args, Clone, Debug)]
#[command(after_help = help::EXAMPLES, after_long_help = help::long())]
pub struct CompareArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    /// The strategies to compare, in this order; each is run once
    #[arg(long, value_enum, value_name = "STRATEGY,…", value_delimiter = ',', default_values_t = Strategy::ALL)]
    strategy: Vec<Strategy>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

// === impl CompareArgs ===

impl CompareArgs {
    /// Returns the strategies in the order in which they are first named.
    fn strategies(&self) -> Vec<Strategy> {
        let mut strategies = Vec::new();
        for strategy in &self.strategy {
            if !strategies.contains(strategy) {
                strategies.push(*strategy);
            }
        }
        strategies
    }
}

/// Runs the command: makes the requests one after another on one connection, and draws each as soon as it is done.
///
/// # Errors
///
/// Returns an error if nothing answers at the gateway's address, if the gateway rejects the request before it makes a
/// call, or if standard output cannot be written. A failed request is no error.
///
/// # Panics
///
/// Panics if a request does, which is a bug.
pub async fn compare(args: &CompareArgs) -> Result<Completion, ClientError> {
    let channel = Connector::new(&args.request.options)?.connect_checked().await?;
    let mut presentation = Presentation::new(args);
    for strategy in args.strategies() {
        // A task of its own: a terminal that blocks does not count as waiting for the reply.
        let task = tokio::spawn(measure(channel.clone(), args.request.clone(), strategy));
        let run = async { task.await.expect("a request does not panic") };
        let run = presentation.wait_for(strategy, run).await;
        if let Some(reason) = run.rejection() {
            presentation.abandon()?;
            // All others would be rejected too.
            return Err(ClientError::Rejected(reason.to_owned()));
        }
        presentation.add(run)?;
    }
    let runs = presentation.finish()?;
    let all_ok = runs.iter().all(|run| run.result.is_ok());
    Ok(if all_ok { Completion::Success } else { Completion::RequestsFailed })
}
