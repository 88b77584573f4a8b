//! The commands of `fanout`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_kit::process::block_on;

use crate::{
    analyze::{AnalyzeArgs, AnalyzeError, analyze},
    call::{CallArgs, call},
    certs::{CertsArgs, CertsError, certs},
    compare::{CompareArgs, compare},
    completion::{ClientError, Completion},
    completions::{CompletionsArgs, completions},
    key::{KeyArgs, KeyError, key},
    load::{LoadArgs, load},
    services::command::ServiceCommand,
    up::{UpArgs, UpError, up},
    view::{ViewArgs, ViewError, view},
};

/// Shows what awaiting calls one after another costs, and what joining them saves.
#[derive(Debug, Parser)]
#[command(name = "fanout", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What `fanout` can do. A new command is a variant here and an arm in [`Cli::run`].
#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the gateway and the services behind it, each as a process
    Up(UpArgs),
    /// Makes one request with each strategy and shows how its calls overlapped
    Compare(CompareArgs),
    /// Makes one request, and shows its calls and its reply
    Call(CallArgs),
    /// Makes many requests and shows how long they took
    Load(LoadArgs),
    /// Shows how calls overlapped in traces of any program, and what joining would save
    Analyze(AnalyzeArgs),
    /// Receives traces of any program, and shows in a browser how their calls overlapped
    View(ViewArgs),
    /// Makes certificates for TLS: an authority, and one for each service
    Certs(CertsArgs),
    /// Makes, lists and revokes API keys of a gateway
    Key(KeyArgs),
    /// Prints completions for a shell, or the manual page
    Completions(CompletionsArgs),
    #[command(flatten)]
    Service(ServiceCommand),
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `compare`, `call` or `load` failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No traces could be analysed.
    #[error(transparent)]
    Analyze(#[from] AnalyzeError),
    /// No certificates could be made.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// The services could not be started, or one ended.
    #[error(transparent)]
    Up(#[from] UpError),
    /// `view` could not start.
    #[error(transparent)]
    View(#[from] ViewError),
    /// `key` failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

// === impl Cli ===

impl Cli {
    /// Checks what clap cannot.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if flags do not go together, or a variable cannot be used.
    pub fn check(&self) -> Result<(), String> {
        match &self.command {
            Command::Call(args) => args.check(),
            Command::Compare(args) => args.request.options.check(),
            Command::Load(args) => args.request.options.check(),
            Command::View(args) => args.check(),
            Command::Up(_)
            | Command::Analyze(_)
            | Command::Certs(_)
            | Command::Key(_)
            | Command::Completions(_)
            | Command::Service(_) => Ok(()),
        }
    }

    /// Runs the command: a service in a runtime of its own settings, and others that wait for something in one with a thread
    /// for each processor.
    ///
    /// # Errors
    ///
    /// Returns an error if the command could not do its work: see [`Error`].
    ///
    /// # Panics
    ///
    /// Panics if the operating system provides no threads for the runtime, or inside another one.
    pub fn run(self) -> Result<Completion, Error> {
        match self.command {
            Command::Up(args) => Ok(block_on(up(&args)).map(|()| Completion::Success)?),
            Command::Service(service) => Ok(Completion::Service(service.run())),
            Command::Compare(args) => Ok(block_on(compare(&args))?),
            Command::Completions(args) => {
                completions(&args).map_err(ClientError::Output)?;
                Ok(Completion::Success)
            }
            Command::Analyze(args) => Ok(analyze(&args)?),
            Command::Certs(args) => Ok(certs(&args).map(|()| Completion::Success)?),
            Command::Call(args) => Ok(block_on(call(&args))?),
            Command::Load(args) => Ok(block_on(load(&args))?),
            Command::View(args) => Ok(block_on(view(&args)).map(|()| Completion::Success)?),
            Command::Key(args) => Ok(key(&args)?),
        }
    }
}

// === impl Error ===

impl Error {
    /// Returns the exit code, from BSD's `sysexits.h`.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Analyze(error) => error.exit_code(),
            Self::Certs(error) => error.exit_code(),
            Self::Up(error) => error.exit_code(),
            Self::View(error) => error.exit_code(),
            Self::Key(error) => error.exit_code(),
        }
    }
}
