//! What a request costs: the gateway beside other ways to build one, against the same two backends, in one run.
//!
//! # Layout
//!
//! * [`scenario`]: what is compared with what; [`subject`]: how each program is started and what it is asked.
//! * [`services`]: the backends of a scenario. [`process`]: a process that is measured.
//! * [`run`]: round after round; [`load`]: a closed loop on one of them; [`client`]: a connection; [`request`]: the bytes;
//!   [`reply`]: what counts as an answer.
//! * [`sample`], [`summary`], [`table`]: one measurement; medians, spreads and ratios; Markdown.
//! * [`memory`]: what requests in flight take, with [`held_backends`]. [`syscalls`]: what is asked of the kernel. [`cost`]:
//!   what an aggregate costs, counted.
//! * [`report`], [`document`], [`plot`]: what is written, and where; the picture.
//! * [`plain_tonic`]: a peer; [`collector`]: an OTLP receiver.

mod client;
mod collector;
mod cost;
mod document;
mod held_backends;
mod load;
mod memory;
mod plain_tonic;
mod plot;
mod process;
mod reply;
mod report;
mod request;
mod run;
mod sample;
mod scenario;
mod services;
mod subject;
mod summary;
mod syscalls;
mod table;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum as _, error::ErrorKind};
use serde_json::json;
use tokio::runtime;

use crate::{
    collector::CollectorArgs,
    held_backends::ReplicasArgs,
    plain_tonic::PlainTonicArgs,
    report::{Outcome, Report},
    run::Effort,
    scenario::Scenario,
    services::{Services, first},
};

/// What is written into the documents is measured at least so often, and so long.
const ROUNDS: u8 = 5;
const SECONDS: u8 = 1;

type BoxError = Box<dyn Error + Send + Sync>;

/// Measures what a request costs, beside other ways to build an aggregator.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    program: Option<Program>,
    #[command(flatten)]
    args: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Program {
    /// Serves an aggregator as tonic's documentation shows one
    PlainTonic(PlainTonicArgs),
    /// Receives spans and keeps none
    Collector(CollectorArgs),
    /// Serves as many replicas of both backends, with the replies of the real ones
    ReplicasOf(ReplicasArgs),
}

#[derive(Args, Debug)]
struct RunArgs {
    /// What is compared; everything if none is given, but `before` only with `--before`
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How often each is measured
    #[arg(long, default_value_t = ROUNDS, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// How many seconds each time, at least
    #[arg(long, default_value_t = SECONDS, value_parser = clap::value_parser!(u8).range(1..))]
    seconds: u8,
    /// Where the peers are and what they need, as `bench/run` sets up
    #[arg(long, default_value = "target/bench")]
    tools: PathBuf,
    /// Another build of `fanout`, to compare with this one
    #[arg(long, value_name = "FILE")]
    before: Option<PathBuf>,
    /// A file with the last landed figures of `cost`: more than 3 % more is an error
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Writes what is measured into `docs/performance.md`, and the picture and all samples beside it, as each comparison
    /// ends
    #[arg(long, conflicts_with = "before")]
    write: bool,
    /// A file for all samples and rows, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(wrong) = cli.args.check() {
        Cli::command().error(ErrorKind::ArgumentConflict, wrong).exit();
    }
    let done = match cli.program {
        // As `#[tokio::main]` has it.
        Some(Program::PlainTonic(args)) => block_on(runtime::Builder::new_multi_thread(), plain_tonic::serve(args)),
        Some(Program::Collector(args)) => block_on(runtime::Builder::new_current_thread(), collector::serve(args)),
        Some(Program::ReplicasOf(args)) => {
            block_on(runtime::Builder::new_current_thread(), held_backends::serve_replicas(args))
        }
        // One thread makes the load: the other cores are for what is measured.
        None => block_on(runtime::Builder::new_current_thread(), measure(cli.args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(
    mut builder: runtime::Builder,
    program: impl Future<Output = Result<(), BoxError>>,
) -> Result<(), BoxError> {
    builder.enable_all().build()?.block_on(program)
}

async fn measure(args: RunArgs) -> Result<(), BoxError> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
    let mut report = Report::new(args.write.then_some(docs), args.json.clone());
    let mut failed = Vec::new();
    for scenario in args.scenarios() {
        match outcome(scenario, &args, &mut failed).await {
            Ok(Some(outcome)) => report.add(scenario, outcome)?,
            Ok(None) => {}
            // The others are measured all the same.
            Err(error) => {
                eprintln!("{}: {error}", scenario.name());
                failed.push(format!("{}: {error}", scenario.name()));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n       ").into()) }
}

/// Measures a scenario. None if it is skipped. Measurements that are not valid are added to `failed`.
async fn outcome(scenario: Scenario, args: &RunArgs, failed: &mut Vec<String>) -> Result<Option<Outcome>, BoxError> {
    let services = Services::start(scenario, &args.tools, args.before.as_ref()).await?;
    let (setup, effort) = (&services.setup, args.effort());
    let (text, json) = match scenario {
        Scenario::Memory => {
            let memory = memory::measure(setup).await?;
            (memory::markdown(&memory), json!({ "rows": memory }))
        }
        Scenario::Cost => {
            // Only what is compared, if it is.
            let rows = cost::measure(setup, args.check.is_none()).await?;
            if let Some(Err(error)) = args.check.as_ref().map(|landed| cost::check(rows[0].cost, landed)) {
                failed.push(error.to_string());
            }
            (cost::markdown(&rows), json!({ "rows": rows }))
        }
        Scenario::Syscalls => {
            let Some(rows) = syscalls::measure(setup, effort.time).await? else {
                eprintln!("skipped: syscalls: neither perf nor strace can count here");
                return Ok(None);
            };
            (syscalls::markdown(&rows), json!({ "rows": rows }))
        }
        _ => {
            let samples = run::run(scenario, setup, effort).await?;
            let rows = summary::summarize(&samples.all);
            let skipped = match samples.skipped.join(", ") {
                names if names.is_empty() => names,
                names => format!("Not measured, because it could not be started: {names}.\n"),
            };
            let text = table::markdown(scenario, &rows, effort) + &skipped;
            failed.extend(samples.invalid.iter().map(|what| format!("{}: {what}", scenario.name())));
            let json = json!({
                "rounds": effort.rounds, "seconds": args.seconds, "skipped": samples.skipped, "invalid": samples.invalid,
                "rows": rows, "samples": samples.all,
            });
            let picture = if scenario == Scenario::Peers { plot::svg(&rows, 128) } else { None };
            if scenario == Scenario::Peers && picture.is_none() {
                eprintln!("no picture: plain tonic, which it compares with, was not measured");
            }
            return Ok(Some(Outcome { text, json, picture }));
        }
    };
    Ok(Some(Outcome { text, json, picture: None }))
}

// === impl RunArgs ===

impl RunArgs {
    fn scenarios(&self) -> Vec<Scenario> {
        if !self.scenarios.is_empty() {
            return self.scenarios.clone();
        }
        let mut all = Scenario::value_variants().to_vec();
        all.retain(|scenario| *scenario != Scenario::Before || self.before.is_some());
        all
    }

    fn effort(&self) -> Effort {
        Effort { rounds: self.rounds.into(), time: Duration::from_secs(self.seconds.into()) }
    }

    /// Refuses what would be ignored, or found out at the end.
    fn check(&self) -> Result<(), String> {
        let scenarios = self.scenarios();
        let has = |scenario| scenarios.contains(&scenario);
        if self.check.is_some() && !has(Scenario::Cost) {
            return Err("--check compares the figures of `cost`, which is not measured".into());
        }
        if has(Scenario::Before) != self.before.is_some() {
            return Err("`before` and --before FILE need each other".into());
        }
        if self.write && self.check.is_some() {
            return Err("with --check only a part of `cost` is measured: it cannot be written".into());
        }
        if self.write && (self.rounds < ROUNDS || self.seconds < SECONDS) {
            return Err(format!("what is written is measured in {ROUNDS} rounds of {SECONDS} s at least"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_ignored_is_refused() {
        let check = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
            cli.args.check()
        };
        for right in [
            "bench",
            "bench --write",
            "bench cost --check F",
            "bench --check F",
            "bench --before F",
            "bench before --before F",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for (wrong, word) in [
            ("bench peers --check F", "`cost`"),
            ("bench before", "--before FILE"),
            ("bench peers --before F", "`before`"),
            ("bench --write --before F", "cannot be used with"),
            ("bench --write --rounds 4", "5 rounds"),
            ("bench cost --write --check F", "part of `cost`"),
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }
}
