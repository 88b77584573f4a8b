//! A service as a process: settings, telemetry, a listener, and an end.

use std::{
    ffi::OsString,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener as StdListener},
    os::fd::AsFd as _,
    process::ExitCode,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower::BoxError;

use crate::{
    health,
    settings::{self, EX_USAGE, Listen, Settings, Task, Unusable},
    telemetry::Telemetry,
};

/// How long a healthcheck waits. Container engines give it a few seconds.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// The whole of a service's `main`: reads the settings from the command line and the
/// environment, then [`run`]s the service or asks it for its health.
pub async fn main<S, F, E>(serve: impl FnOnce(S, TcpListener, Shutdown) -> F) -> ExitCode
where
    S: Settings,
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    main_with(std::env::args_os(), serve).await
}

/// [`main`] with these arguments, of which the first is the program's name.
pub async fn main_with<S, F, E>(
    args: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(S, TcpListener, Shutdown) -> F,
) -> ExitCode
where
    S: Settings,
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    match settings::parse(args) {
        Ok(Task::Serve(settings)) => run(settings, serve).await,
        Ok(Task::CheckHealth(settings)) => check_health(&settings).await,
        Err(Unusable { message, exit_code: 0 }) => {
            print!("{message}");
            ExitCode::SUCCESS
        }
        Err(Unusable { message, exit_code }) => {
            eprintln!("{}: {message}", S::NAME);
            ExitCode::from(exit_code)
        }
    }
}

/// Asks the service that these settings describe, over the network as anybody would.
async fn check_health<S: Settings>(settings: &S) -> ExitCode {
    let Listen::Address(mut address) = settings.service().listen else {
        eprintln!("{}: --listen stdin names no address to ask", S::NAME);
        return ExitCode::from(EX_USAGE);
    };
    // Every address of the machine includes the loopback's.
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    match health::check(&format!("http://{address}"), HEALTH_TIMEOUT).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{}: {address}: {reason}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

/// Runs a service with these settings until it fails or the process is told to stop.
///
/// `serve` gets the listener and a future that ends with SIGTERM or SIGINT.
pub async fn run<S, F, E>(settings: S, serve: impl FnOnce(S, TcpListener, Shutdown) -> F) -> ExitCode
where
    S: Settings,
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let listener = match bind(settings.service().listen).await {
        Ok(listener) => listener,
        Err(error) => return fail(S::NAME, &error, 1),
    };
    let telemetry = match Telemetry::start(S::NAME, &settings.service().log) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(S::NAME, &error, error.exit_code()),
    };
    let shutdown = match signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return fail(S::NAME, &error, 1),
    };
    let ended = serve(settings, listener, shutdown).await;
    telemetry.shutdown().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(S::NAME, &*error.into(), 1),
    }
}

/// Says in one line why the process ends.
fn fail(name: &str, error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::from(code)
}

/// Opens the listener.
///
/// # Errors
///
/// Where the address cannot be listened on, such as a port in use, or standard input is
/// no listening socket.
pub async fn bind(listen: Listen) -> io::Result<TcpListener> {
    let explain = |what: String| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    match listen {
        Listen::Address(address) => {
            TcpListener::bind(address).await.map_err(explain(format!("cannot listen on {address}")))
        }
        Listen::Stdin => inherited().map_err(explain("standard input is no listening socket".to_owned())),
    }
}

fn inherited() -> io::Result<TcpListener> {
    let listener = StdListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Ends when the process is told to stop.
pub type Shutdown = BoxFuture<'static, ()>;

/// Takes over SIGTERM and SIGINT: either ends the future.
///
/// # Errors
///
/// Where the operating system refuses.
pub fn signals() -> io::Result<Shutdown> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }))
}
