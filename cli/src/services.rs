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
use futures::future::LocalBoxFuture;
use service_kit::process;

/// All services. Those that export metrics on consecutive ports do so in this order.
pub static SERVICES: &[Service] = &[
    gateway("gateway", 50051, |args| Box::pin(process::run::<gateway::Config>(args))),
    backend("user-service", 50052, |args| Box::pin(process::run::<user_service::Config>(args)))
        .with_args(user_service_args),
    backend("country-service", 50053, |args| Box::pin(process::run::<country_service::Config>(args))),
];

/// Runs a service with these arguments, of which the first is the program's name.
type Run = fn(Vec<OsString>) -> LocalBoxFuture<'static, ExitCode>;

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

const fn gateway(name: &'static str, port: u16, run: Run) -> Service {
    Service { name, port, kind: Kind::Gateway, run, args: gateway_args }
}

const fn backend(name: &'static str, port: u16, run: Run) -> Service {
    Service { name, port, kind: Kind::Backend, run, args: backend_args }
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

    /// Runs the service until it ends, with these arguments after the program's name.
    pub async fn run(&self, args: Vec<OsString>) -> ExitCode {
        (self.run)(std::iter::once(self.name.into()).chain(args).collect()).await
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
