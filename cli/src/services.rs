//! The services that this binary contains, as one table.
//!
//! The processes of `fanout up`, their ports, flags and metrics ports, the URLs that the gateway gets and the
//! subcommands that run one service follow from [`SERVICES`]. A new backend is a line there, and a dependency in
//! `Cargo.toml`.
//!
//! # Layout
//!
//! * [`command`]: the subcommands that run one service.
//! * [`ports`]: the flags that set the services' ports.

pub mod command;
pub mod ports;

use std::{ffi::OsString, path::Path, process::ExitCode};

use fault_injection::Distribution;
use service_kit::{Settings, command_line, process};

/// All services. Those that export metrics on consecutive ports do so in this order.
pub static SERVICES: &[Service] = &[
    service::<gateway::Config>(Kind::Gateway).with_args(gateway_args),
    service::<user_service::Config>(Kind::Backend).with_args(user_service_args),
    service::<country_service::Config>(Kind::Backend),
];

/// Runs a service with these arguments, of which the first is the program's name.
type Run = fn(Vec<OsString>) -> ExitCode;

/// Returns the arguments that a service gets in addition to those that all services get.
type Args = fn(&LaunchContext<'_>) -> Vec<String>;

/// A service of this binary.
#[derive(Debug)]
pub struct Service {
    /// Its name in commands, logs and traces, such as `user-service`. The gateway's flag for a backend's URL is
    /// this name too.
    pub name: &'static str,
    /// The port on which it listens by default.
    pub port: u16,
    /// What it does.
    pub kind: Kind,
    /// Returns its command line.
    pub command: fn() -> clap::Command,
    run: Run,
    args: Args,
}

/// What a service does in the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls the backends.
    Gateway,
    /// Is called by the gateway.
    Backend,
    /// Shows what the others do. Not in the table: it is no gRPC service.
    Viewer,
}

/// What the arguments of a service depend on when all are started together.
#[derive(Clone, Copy, Debug)]
pub struct LaunchContext<'a> {
    /// How long backends take to reply.
    pub delay: &'a Distribution,
    /// The directory for databases. It exists.
    pub data_dir: &'a Path,
    /// Name and URL of each backend.
    pub backends: &'a [(&'static str, String)],
}

/// Returns a service by its settings, which know its name and port.
const fn service<S: Settings + 'static>(kind: Kind) -> Service {
    Service {
        name: S::NAME,
        port: S::PORT,
        kind,
        command: command_line::command::<S>,
        run: process::run::<S, Vec<OsString>>,
        args: backend_args,
    }
}

fn gateway_args(context: &LaunchContext<'_>) -> Vec<String> {
    let urls = context.backends.iter().flat_map(|(name, url)| [format!("--{name}"), url.clone()]);
    urls.chain(["--allow-overrides".to_owned()]).collect()
}

fn backend_args(context: &LaunchContext<'_>) -> Vec<String> {
    vec!["--delay".to_owned(), context.delay.to_string(), "--allow-overrides".to_owned()]
}

fn user_service_args(context: &LaunchContext<'_>) -> Vec<String> {
    let database = format!("sqlite:{}", context.data_dir.join("users.db").display());
    let mut args = backend_args(context);
    args.extend(["--database".to_owned(), database, "--seed".to_owned()]);
    args
}

/// Returns all backends of the table.
pub fn backends() -> impl Iterator<Item = &'static Service> {
    SERVICES.iter().filter(|service| service.kind == Kind::Backend)
}

// === impl Service ===

impl Service {
    const fn with_args(self, args: Args) -> Self {
        Self { args, ..self }
    }

    /// Returns the service of this name, with or without `-service`.
    ///
    /// # Errors
    ///
    /// Returns a message for the command line if there is none.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        let service = SERVICES.iter().find(|service| service.name == name || service.short_name() == name);
        service.ok_or_else(|| {
            let names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
            format!("unknown service '{name}': expected one of {}", names.join(", "))
        })
    }

    /// Runs the service until it ends, with these arguments after the program's name.
    ///
    /// # Panics
    ///
    /// Panics inside a runtime.
    pub fn run(&self, args: Vec<OsString>) -> ExitCode {
        (self.run)(std::iter::once(self.name.into()).chain(args).collect())
    }

    /// Returns the service's own arguments when it is started together with the others.
    pub fn args(&self, context: &LaunchContext<'_>) -> Vec<String> {
        (self.args)(context)
    }

    /// Returns the name without `-service`, such as `user`.
    pub fn short_name(&self) -> &'static str {
        self.name.strip_suffix("-service").unwrap_or(self.name)
    }

    /// Returns the name in a sentence, such as `user service`.
    pub fn words(&self) -> String {
        self.name.replace('-', " ")
    }
}
