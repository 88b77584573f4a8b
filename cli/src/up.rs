//! `fanout up`: all services on this machine, each as a process.
//!
//! The same binary is started again for each service, so that one can be killed and observed as in production.
//! This process opens the ports and passes the listeners on: no other program can take a port in between, and a
//! port in use is reported before anything starts.
//!
//! # Layout
//!
//! * [`args`], [`error`]: the flags, and what can go wrong.
//! * `launch`: how each service is started; `child`: its process; `child_exit`: how that ended; `metrics`: its metrics port.
//! * `banner`: what runs where, for people and as JSON.

pub mod args;
mod banner;
mod child;
mod child_exit;
pub mod error;
mod launch;
mod metrics;

use std::{io, net::SocketAddr, time::Duration};

use service_kit::{health, signals::Signals};
use tokio::time::{Instant, sleep};

pub use self::{args::UpArgs, child::Running, child_exit::ChildExit, error::UpError};
use self::{banner::Banner, child::Child, metrics::MetricsPorts};
use crate::terminal::{live_line::LiveLine, stdout};

/// How long the services may take to become healthy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a service may take to end after SIGTERM: its own drain, its last spans, and some margin.
const STOP_TIMEOUT: Duration = Duration::from_secs(14);

/// Runs all services until SIGINT or SIGTERM.
///
/// # Errors
///
/// Returns an error if a service cannot be started or ends by itself; the others are stopped first.
pub async fn up(args: &UpArgs) -> Result<(), UpError> {
    let mut signals = Signals::new()?;
    let metrics = MetricsPorts::from_env()?;
    let mut children = Vec::new();
    // Backends first: the gateway needs them.
    for spec in launch::specs(args)? {
        children.push(Child::spawn(spec, metrics.as_ref())?);
    }
    let result = tokio::select! {
        result = run(args, metrics.as_ref(), &mut children) => result,
        () = signals.recv() => Ok(()),
    };
    // The gateway first, so that its calls in flight still reach the backends.
    if let Some(mut gateway) = children.pop() {
        gateway.stop(STOP_TIMEOUT).await?;
    }
    futures::future::try_join_all(children.iter_mut().map(|child| child.stop(STOP_TIMEOUT))).await?;
    result
}

/// Waits until all services are healthy, prints where they are, and then waits until one ends.
async fn run(args: &UpArgs, metrics: Option<&MetricsPorts>, children: &mut [Child]) -> Result<(), UpError> {
    let begun = Instant::now();
    {
        let _live = LiveLine::start(|elapsed| format!("starting … {:.1} s", elapsed.as_secs_f64()));
        for index in 0..children.len() {
            let (name, address) = (children[index].name(), children[index].address());
            tokio::select! {
                healthy = wait_healthy(name, address) => healthy?,
                exit = first_exit(children) => return Err(UpError::Exited(exit?)),
            }
        }
    }
    let running: Vec<Running> = children.iter().map(Child::running).collect();
    let banner =
        Banner { running: &running, delay: &args.delay, has_metrics: metrics.is_some(), ready_after: begun.elapsed() };
    let text = if args.output.json { banner.json() } else { banner.text(args.output.terminal().style) };
    stdout::print(&text)?;
    Err(UpError::Exited(first_exit(children).await?))
}

/// Waits until one of the processes ends.
async fn first_exit(children: &mut [Child]) -> io::Result<ChildExit> {
    let exits = children.iter_mut().map(|child| Box::pin(child.wait()));
    futures::future::select_all(exits).await.0
}

async fn wait_healthy(service: &'static str, address: SocketAddr) -> Result<(), UpError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match health::check(&format!("http://{address}"), Duration::from_secs(1)).await {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= deadline => {
                return Err(UpError::Unhealthy { service, after: START_TIMEOUT, reason: reason.to_string() });
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
