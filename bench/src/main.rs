//! What a request costs: the gateway beside other ways to build one, against the same two backends, in one run.
//!
//! # Layout
//!
//! * [`scenario`]: what is compared with what; [`subject`]: how each program is started and what it is asked.
//! * [`run`]: round after round; [`load`]: a closed loop on one of them; [`client`]: a connection; [`request`]: the bytes.
//! * [`process`]: a process, and what it has used.
//! * [`sample`], [`summary`], [`table`]: one measurement; medians, spreads and ratios; Markdown.
//! * [`memory`]: what requests in flight take. [`cost`]: what an aggregate costs, counted.
//! * [`plot`], [`document`]: the picture, and the document that has it.
//! * [`plain_tonic`]: a peer; [`collector`]: an OTLP receiver.

mod client;
mod collector;
mod cost;
mod document;
mod load;
mod memory;
mod plain_tonic;
mod plot;
mod process;
mod request;
mod run;
mod sample;
mod scenario;
mod subject;
mod summary;
mod table;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum as _};
use tokio::{
    runtime,
    time::{Instant, sleep},
};

use crate::{
    client::Client,
    collector::CollectorArgs,
    plain_tonic::PlainTonicArgs,
    process::Process,
    request::{Lengths, Request},
    run::Effort,
    scenario::Scenario,
    subject::{Setup, free_address},
};

/// How long a service may take until it serves.
const START: Duration = Duration::from_secs(10);

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
}

#[derive(Args, Debug)]
struct RunArgs {
    /// What is compared; everything if none is given, but `before` only with `--before`
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// How many seconds each time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
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
    /// Writes what is measured into `docs/performance.md`, and the picture and all samples beside it
    #[arg(long)]
    write: bool,
    /// A file for all samples and rows, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.program {
        // As `#[tokio::main]` has it.
        Some(Program::PlainTonic(args)) => block_on(runtime::Builder::new_multi_thread(), plain_tonic::serve(args)),
        Some(Program::Collector(args)) => block_on(runtime::Builder::new_current_thread(), collector::serve(args)),
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
    let mut scenarios = args.scenarios.clone();
    if scenarios.is_empty() {
        scenarios = Scenario::value_variants().to_vec();
        scenarios.retain(|scenario| *scenario != Scenario::Before || args.before.is_some());
    }
    let effort = Effort { rounds: args.rounds.into(), time: Duration::from_secs(args.seconds.into()) };
    let directory = args.tools.join("run");
    fs::create_dir_all(&directory)?;
    let (mut samples, mut memory, mut cost) = (Vec::new(), Vec::new(), None);
    let mut tables: Vec<(Scenario, String)> = Vec::new();
    for scenario in &scenarios {
        if *scenario == Scenario::Memory {
            let (setup, _services) = start_services(&args, &directory, memory::DELAY).await?;
            memory = memory::measure(&setup).await?;
            tables.push((*scenario, memory::markdown(&memory)));
            println!("{}", tables[tables.len() - 1].1);
            continue;
        }
        let (setup, _services) = start_services(&args, &directory, "0").await?;
        if *scenario == Scenario::Cost {
            let counted = cost::measure(&setup).await?;
            tables.push((*scenario, cost::markdown(counted)));
            println!("{}", tables[tables.len() - 1].1);
            args.check.iter().try_for_each(|landed| cost::check(counted, landed))?;
            cost = Some(counted);
            continue;
        }
        samples.extend(run::run(*scenario, &setup, effort).await?);
        tables.push((*scenario, table::markdown(*scenario, &summary::summarize(&samples))));
        println!("{}", tables[tables.len() - 1].1);
    }
    let rows = summary::summarize(&samples);
    let all = serde_json::json!({
        "rounds": effort.rounds, "seconds": args.seconds, "rows": rows, "memory": memory, "cost": cost, "samples": samples,
    });
    let write = |path: &Path, text: &str| fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()));
    if let Some(path) = &args.json {
        write(path, &format!("{all:#}\n"))?;
    }
    if args.write {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
        let path = docs.join("performance.md");
        let mut text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (scenario, table) in &tables {
            text = document::replace(&text, &scenario.name(), table)?;
        }
        write(&path, &text)?;
        write(&docs.join("performance.json"), &format!("{all}\n"))?;
        if scenarios.contains(&Scenario::Peers) {
            write(&docs.join("performance.svg"), &plot::svg(&rows, 128))?;
        }
    }
    Ok(())
}

/// Starts the backends, which answer after this time, and a collector.
async fn start_services(args: &RunArgs, directory: &Path, delay: &str) -> Result<(Setup, [Process; 3]), BoxError> {
    let this = env::current_exe()?;
    let fanout = this.with_file_name("fanout");
    if !fanout.exists() {
        return Err(format!("there is no {}: build it as bench/run does", fanout.display()).into());
    }
    let mut setup = Setup {
        fanout,
        before: args.before.clone(),
        tools: args.tools.clone(),
        sources: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"),
        user_service: free_address()?,
        country_service: free_address()?,
        collector: free_address()?,
        lengths: Lengths { user: 0, countries: 0 },
        directory: directory.to_owned(),
    };
    let log = |name: &str| setup.directory.join(format!("{name}.log"));
    let database = setup.directory.join("users.db");
    let mut users = setup.service("user-service", &setup.user_service, "off");
    users.args(["--delay", delay, "--seed", "--database"]).arg(format!("sqlite:{}", database.display()));
    let mut countries = setup.service("country-service", &setup.country_service, "off");
    countries.args(["--delay", delay]);
    let mut collector = Command::new(&this);
    collector.args(["collector", "--listen", &setup.collector]);
    let services = [
        Process::start(users, &setup.user_service, &log("user-service"))?,
        Process::start(countries, &setup.country_service, &log("country-service"))?,
        Process::start(collector, &setup.collector, &log("collector"))?,
    ];
    setup.lengths = Lengths {
        user: first(&setup.user_service, &Request::user(1)).await?,
        countries: first(&setup.country_service, &Request::countries(1)).await?,
    };
    Ok((setup, services))
}

/// Makes a request to a service that has just started, which refuses requests until it serves. Returns how many bytes the
/// messages of the reply have.
async fn first(address: &str, request: &Request) -> Result<usize, BoxError> {
    let mut client = Client::connect(address, request).await?;
    let begun = Instant::now();
    loop {
        match client.call(request, address).await {
            Err(error) if begun.elapsed() > START => return Err(format!("{address} does not serve: {error}").into()),
            Err(_) => sleep(Duration::from_millis(10)).await,
            Ok(length) => return Ok(length),
        }
    }
}
