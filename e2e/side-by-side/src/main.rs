//! The same generated tonic client through the same faults, on different channels.
//!
//! # Layout
//!
//! * [`table`]: runs each rival through each fault, each in a process of its own, and prints a table.
//! * [`run`]: one rival through one fault, and what it measures.
//! * [`fault`]: the faults, their load and what happens to the replicas.
//! * [`load`]: calls at a constant rate, all at once, or cancelled.
//! * [`rival`]: the channels. The only place to change for another one.
//! * [`replica`]: a server process that can be killed or stopped.
//! * [`server`], [`proxy`]: what runs in that process.

mod fault;
mod load;
mod proxy;
mod replica;
mod rival;
mod run;
mod server;
mod table;

use std::{error::Error, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{fault::Fault, rival::Rival};

/// The generated greeter.
#[allow(clippy::pedantic, missing_docs, unreachable_pub, reason = "generated")]
mod greeter {
    tonic::include_proto!("side_by_side.v1");
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Compares channels for tonic's generated clients under faults.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one rival through one fault.
    Run(RunArgs),
    /// Serves the greeter until standard input closes; prints the port.
    Serve(ServeArgs),
}

#[derive(Args)]
struct TableArgs {
    /// Runs a tenth of the calls or fewer.
    #[arg(long)]
    quick: bool,
    /// Prints JSON, one object for each run, instead of a table.
    #[arg(long)]
    json: bool,
    /// Runs only these rivals.
    #[arg(long, value_enum, value_delimiter = ',')]
    rivals: Vec<Rival>,
    /// Runs only these faults.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
}

#[derive(Args)]
struct RunArgs {
    #[arg(long, value_enum)]
    rival: Rival,
    #[arg(long, value_enum)]
    fault: Fault,
    /// Runs a tenth of the calls or fewer.
    #[arg(long)]
    quick: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ServeArgs {
    /// Port on the loopback interface; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Makes 1 % of the calls 100 times as slow, chosen by a generator with this seed.
    #[arg(long, value_name = "SEED")]
    tail: Option<u64>,
    /// Resets each connection after it has carried this many bytes of replies.
    #[arg(long, value_name = "BYTES")]
    reset_after: Option<usize>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<ExitCode, BoxError> {
    let cli = Cli::parse();
    match cli.command {
        None => table::run(&cli.table).await,
        Some(Command::Run(args)) => {
            let result = run::run(args.rival, args.fault, args.quick).await?;
            if args.json {
                println!("{}", serde_json::to_string(&result)?);
            } else {
                println!("{result}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Serve(args)) => {
            server::serve(&args).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
