//! `fanout up`: all services on this machine, each as a process.
//!
//! The same binary is started again for each service, so that one can be killed and observed as in production.
//! This process opens the ports and passes the listeners on: no other program can take a port in between, and a
//! port in use is reported before anything starts. It alone writes to the terminal: the services' output comes
//! through pipes.
//!
//! # Layout
//!
//! * [`args`], [`error`]: the flags, and what can go wrong.
//! * `launch`: how each service is started; `child`: its process; `child_exit`: how that ended; `metrics`: its metrics port.
//! * `viewer`: the viewer beside them.
//! * `tls`: the certificates of `--tls`.
//! * `banner`: what runs where, for people and as JSON; `users`: which users there are.
//! * `console`: the one writer of the terminal; `log`: the services' log.
//! * `stop`: stops the services; `stop_signals`: what asks for it.

pub mod args;
mod banner;
mod child;
mod child_exit;
mod console;
pub mod error;
mod launch;
mod log;
mod metrics;
mod stop;
mod stop_signals;
mod tls;
mod users;
mod viewer;

use std::{io, net::SocketAddr, time::Duration};

use service_kit::health;
use tokio::time::{Instant, sleep};

pub use self::{args::UpArgs, child::Running, child_exit::ChildExit, error::UpError};
use self::{
    banner::Banner,
    child::{Child, SpawnContext},
    console::Console,
    launch::Launch,
    metrics::MetricsPorts,
    stop::{CutOff, Stop},
    stop_signals::StopSignals,
    tls::Tls,
    viewer::ViewerPlace,
};
use crate::services::Kind;

/// How long the services may take to become healthy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a service may take to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// The service that has the users.
const USER_SERVICE: &str = "user-service";

/// Runs all services until SIGINT, SIGTERM or SIGHUP.
///
/// # Errors
///
/// Returns an error if a service cannot be started or ends by itself; the others are stopped first. Returns an error too
/// if requests were cut off by the end of the drain, or by a second signal.
pub async fn up(args: &UpArgs) -> Result<(), UpError> {
    let mut signals = StopSignals::new()?;
    let metrics = MetricsPorts::from_env()?;
    let Launch { specs, tls, viewer } = launch::prepare(args)?;
    let console = Console::start(&args.output);
    let with = With { metrics: metrics.as_ref(), tls: tls.as_ref(), viewer: viewer.as_ref() };
    let result = up_on(args, specs, with, &console, &mut signals).await;
    if result.is_ok() && args.prints_text() {
        console.print("stopped\n").await;
    }
    console.finish().await;
    result
}

/// What not every `fanout up` has.
#[derive(Clone, Copy)]
struct With<'a> {
    metrics: Option<&'a MetricsPorts>,
    tls: Option<&'a Tls>,
    viewer: Option<&'a ViewerPlace>,
}

/// Starts the services, and stops them in the end.
async fn up_on(
    args: &UpArgs,
    specs: Vec<launch::LaunchSpec>,
    with: With<'_>,
    console: &Console,
    signals: &mut StopSignals,
) -> Result<(), UpError> {
    let colour = args.output.terminal().style.colour;
    let context = SpawnContext { metrics: with.metrics, view: &args.log_view(), colour, console: console.sender() };
    let mut children = Vec::new();
    // Backends first: the gateway needs them.
    for spec in specs {
        children.push(Child::spawn(spec, &context)?);
    }
    drop(context);
    let result = tokio::select! {
        result = run(args, with, &mut children, console) => result,
        () = signals.recv() => Ok(()),
    };
    console.hide_live().await;
    let cut_off = Stop::new(args, console).run(&mut children, signals).await?;
    match (result, cut_off) {
        (Ok(()), Some(CutOff { requests, at_once })) => Err(UpError::CutOff { requests, at_once }),
        (result, _) => result,
    }
}

/// Waits until all services are healthy, prints where they are, and then waits until one ends.
async fn run(args: &UpArgs, with: With<'_>, children: &mut [Child], console: &Console) -> Result<(), UpError> {
    let begun = Instant::now();
    let terminal = args.output.terminal();
    let ellipsis = terminal.style.glyph("…", "...");
    console.show_live(move |elapsed| format!("starting {ellipsis} {:.1} s", elapsed.as_secs_f64())).await;
    for index in 0..children.len() {
        let running = children[index].running();
        let (name, address) = (running.service, running.address);
        if running.kind == Kind::Viewer {
            // Its listeners were open before it: what comes early waits there.
            continue;
        }
        tokio::select! {
            healthy = wait_healthy(name, address, with.tls) => healthy?,
            exit = first_exit(children) => return Err(UpError::Exited(exit?)),
        }
    }
    let ready_after = begun.elapsed();
    let running = children.iter().map(Child::running).filter(|running| running.kind != Kind::Viewer);
    let running: Vec<Running> = running.cloned().collect();
    let users = match running.iter().find(|running| running.service == USER_SERVICE) {
        Some(user_service) if !args.output.json => users::list(user_service.address, with.tls).await,
        _ => Vec::new(),
    };
    let program = std::env::args().next().unwrap_or_else(|| "fanout".to_owned());
    let (has_metrics, authority) = (with.metrics.is_some(), with.tls.map(Tls::authority));
    let banner = Banner {
        args,
        program: &program,
        running: &running,
        viewer: with.viewer,
        users: &users,
        has_metrics,
        authority,
        ready_after,
    };
    console.hide_live().await;
    console.print(if args.output.json { banner.json() } else { banner.text(terminal) }).await;
    Err(UpError::Exited(first_exit(children).await?))
}

/// Waits until one of the processes ends.
async fn first_exit(children: &mut [Child]) -> io::Result<ChildExit> {
    let exits = children.iter_mut().map(|child| Box::pin(child.wait()));
    futures::future::select_all(exits).await.0
}

async fn wait_healthy(service: &'static str, address: SocketAddr, tls: Option<&Tls>) -> Result<(), UpError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let asked = match tls.and_then(|tls| tls.files(service)) {
            Some((certificate, key)) => health::check_own(address, certificate, key, HEALTH_TIMEOUT).await,
            None => health::check(&format!("http://{address}"), HEALTH_TIMEOUT).await,
        };
        match asked {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= deadline => {
                return Err(UpError::Unhealthy { service, after: START_TIMEOUT, reason: reason.to_string() });
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
