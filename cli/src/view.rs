//! `fanout view`: receives traces over OTLP, and shows in a browser how their calls overlapped.
//!
//! # Layout
//!
//! * [`args`], [`error`]: the flags, and what can go wrong; [`size`]: the value of `--max-memory`.
//! * [`listeners`]: the ports, opened here or handed over by `fanout up`.
//! * `run_panel`: sends the requests of the page's panel; `run_request`: what the page asks for; `run_document`: how it
//!   went; `questions`: the four questions.

pub mod args;
pub mod error;
pub mod listeners;
mod questions;
mod run_document;
mod run_panel;
mod run_request;
pub mod size;

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use service_kit::{signals::Signals, telemetry::Telemetry};
use viewer::{Options, gateway::SharedGateway};

use self::run_panel::RunPanel;
pub use self::{args::ViewArgs, error::ViewError};

/// The name in log lines.
const NAME: &str = "view";

/// Runs the viewer until SIGINT or SIGTERM.
///
/// # Errors
///
/// Returns an error if it cannot listen, or a file for TLS with the gateway cannot be used.
pub async fn view(args: &ViewArgs) -> Result<(), ViewError> {
    let listeners = listeners::open(args).await?;
    let gateway = match args.request_options() {
        Some(options) => Some(Arc::new(RunPanel::new(options)?) as SharedGateway),
        None => None,
    };
    let mut signals = Signals::new()?;
    let telemetry = Telemetry::start_log(NAME, &args.log)?;
    if !args.is_inherited() {
        say(&listeners)?;
    }
    let options = Options {
        max_bytes: args.max_memory.bytes(),
        version: env!("CARGO_PKG_VERSION"),
        hosts: args.host.iter().map(|name| name.to_ascii_lowercase()).collect(),
        gateway,
        forward: args.forward.clone(),
        data_dir: args.data_dir.clone(),
    };
    let result = viewer::run(options, listeners, async move { signals.recv().await }).await;
    telemetry.shutdown().await;
    Ok(result?)
}

/// Says where to look, and where to send.
fn say(listeners: &viewer::Listeners) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "open http://{}", listeners.page.local_addr()?)?;
    writeln!(
        out,
        "send OTLP to {} (gRPC) or {} (HTTP); Ctrl-C stops it",
        listeners.otlp_grpc.local_addr()?,
        listeners.otlp_http.local_addr()?
    )
}
