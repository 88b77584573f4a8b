//! The commands of `fanout`, and what each ends with.

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    compare::{CompareArgs, compare},
    gateway_client::address::Unreachable,
    load::{LoadArgs, load},
    service_command::{ServiceCommand, serve},
    up::{UpArgs, UpError, up},
};

/// Shows what it costs to await calls in turn, and what joining them saves.
#[derive(Debug, Parser)]
#[command(name = "fanout", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One for each thing to do. A new command is a variant here and an arm in [`Cli::run`].
#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the gateway and the two services behind it, as processes of their own
    Up(UpArgs),
    /// Makes one request with each strategy and shows how its calls overlapped
    Compare(CompareArgs),
    /// Makes many requests and shows how long they took
    Load(LoadArgs),
    #[command(flatten)]
    Service(ServiceCommand),
}

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// All went well.
    Success,
    /// Requests failed: any for `compare`, all for `load`.
    RequestsFailed,
    /// A service ended with this code.
    Service(ExitCode),
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the gateway's address.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// Standard output cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// The result is no JSON.
    #[error("cannot write the result: {0}")]
    Json(#[from] serde_json::Error),
    /// The services could not be started, or one ended.
    #[error(transparent)]
    Up(#[from] UpError),
}

// === impl Cli ===

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// Where it could not do its work: see [`Error`].
    pub async fn run(self) -> Result<Outcome, Error> {
        match self.command {
            Command::Up(args) => Ok(up(&args).await.map(|()| Outcome::Success)?),
            Command::Service(service) => Ok(Outcome::Service(serve(service).await)),
            Command::Compare(args) => compare(&args).await,
            Command::Load(args) => load(&args).await,
        }
    }
}

// === impl Outcome ===

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::SUCCESS,
            Outcome::RequestsFailed => Self::FAILURE,
            Outcome::Service(code) => code,
        }
    }
}

// === impl Error ===

impl Error {
    /// The exit code, of BSD's `sysexits.h`.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Up(UpError::Metrics(error)) => ExitCode::from(error.exit_code()),
            Self::Up(_) => ExitCode::FAILURE,
            Self::Unreachable(_) => ExitCode::from(69),
            Self::Json(_) => ExitCode::from(70),
            Self::Output(_) => ExitCode::from(74),
        }
    }
}
