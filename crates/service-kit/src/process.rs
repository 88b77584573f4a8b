//! A service as a process: settings, telemetry, a listener, and an exit code.

use std::{
    ffi::OsString,
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
    num::NonZero,
    os::fd::AsFd as _,
    process::ExitCode,
    time::Duration,
};

use grpc_tls::ServerTls;
use tokio::{net::TcpListener, runtime::Builder};

use crate::{
    command_line::{self, Invocation},
    file_descriptors, health,
    listener::Listener,
    serve::{ServeContext, ServeError},
    service::Settings,
    settings::{EX_USAGE, Listen, ServiceArgs, UsageError},
    signals::{self, Signals},
    telemetry::Telemetry,
    workers::{RUNTIME_TIMEOUT, Workers},
};

/// BSD's `EX_TEMPFAIL`: the exit code of a process that has cut off requests at the end of its drain.
pub const EX_TEMPFAIL: u8 = 75;

/// How many connections the operating system queues until they are accepted.
const BACKLOG: i32 = 1024;

/// How long a healthcheck waits. Container engines allow a few seconds.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// The whole `main` of a service: reads its settings from the command line and the environment, then serves, or asks
/// the service that is running for its health. Returns the exit code.
///
/// # Panics
///
/// Panics if the operating system starts no threads, or inside a runtime.
pub fn main<S: Settings>() -> ExitCode {
    run::<S, _>(std::env::args_os())
}

/// Runs a future on a new multi-threaded runtime, and returns its output.
///
/// Does not wait for blocking tasks: a name server that hangs holds the thread of a look-up for as long as it likes,
/// and dropping a runtime waits for it.
///
/// # Panics
///
/// Panics if the operating system starts no threads, or inside another runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("the threads of the runtime start");
    let output = runtime.block_on(future);
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    output
}

/// [`main`] with these arguments, the first of which is the name of the program.
///
/// # Panics
///
/// Panics if the operating system starts no threads, or inside a runtime.
pub fn run<S: Settings, A: IntoIterator<Item = OsString>>(args: A) -> ExitCode {
    match command_line::parse::<S>(args) {
        Ok(Invocation::Serve(settings)) => {
            let threads = settings.service().threads.and_then(NonZero::new);
            Workers::block_on(threads, |workers| serve::<S>(settings, workers))
        }
        Ok(Invocation::CheckHealth(settings)) => {
            Workers::block_on(Some(NonZero::<usize>::MIN), |_| check_health::<S>(&settings))
        }
        Err(UsageError { message, exit_code: 0 }) => {
            print!("{message}");
            ExitCode::SUCCESS
        }
        Err(UsageError { message, exit_code }) => {
            eprintln!("{}: {message}", S::NAME);
            ExitCode::from(exit_code)
        }
    }
}

/// Serves with these settings until the service fails or the process gets SIGTERM or SIGINT. A second signal ends the
/// drain at once.
async fn serve<S: Settings>(settings: S, workers: Workers) -> ExitCode {
    let listener = match bind(settings.service().listen).await {
        Ok(listener) => listener,
        Err(error) => return fail(S::NAME, &error, 1),
    };
    let tls = match secure::<S>(&listener, settings.service()) {
        Ok(tls) => tls,
        Err(error) => return fail(S::NAME, &error, error.exit_code()),
    };
    let listener = Listener::new(listener, tls).served_by(workers.clone());
    let telemetry = match Telemetry::start(S::NAME, &settings.service().log, &workers) {
        Ok(telemetry) => telemetry,
        Err(error) => return fail(S::NAME, &error, error.exit_code()),
    };
    if let Err(error) = file_descriptors::raise_limit() {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    let shutdown = match Signals::new() {
        Ok(signals) => signals.into_shutdown(),
        Err(error) => return fail(S::NAME, &error, 1),
    };
    let result = settings.serve(ServeContext { listener, shutdown, meter: telemetry.meter() }).await;
    telemetry.shutdown().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The log has said it.
        Err(ServeError::CutOff { .. }) => ExitCode::from(EX_TEMPFAIL),
        Err(error) => fail(S::NAME, &error, error.exit_code()),
    }
}

/// Returns the TLS of a listener. Its files are read again at SIGHUP too.
fn secure<S: Settings>(listener: &TcpListener, args: &ServiceArgs) -> Result<Option<ServerTls>, ServeError> {
    let address = match args.listen {
        Listen::Address(address) => address,
        Listen::Stdin => listener.local_addr().map_err(|error| ServeError::Start(error.into()))?,
    };
    args.tls.check_address(S::NAME, address).map_err(ServeError::Setting)?;
    let tls = args.tls.load(S::NAME).map_err(ServeError::Setting)?;
    if let Some(tls) = tls.clone() {
        signals::on_hangup(move || tls.reload()).map_err(|error| ServeError::Start(error.into()))?;
    }
    Ok(tls)
}

/// Asks the service with these settings for its health, over the network as any client would.
async fn check_health<S: Settings>(settings: &S) -> ExitCode {
    let Listen::Address(address) = settings.service().listen else {
        eprintln!("{}: --listen stdin names no address to ask", S::NAME);
        return ExitCode::from(EX_USAGE);
    };
    let address = reachable(address);
    let asked = match settings.service().tls.identity() {
        Some((cert, key)) => health::check_own(address, cert, key, HEALTH_TIMEOUT).await,
        None => health::check(&format!("http://{address}"), HEALTH_TIMEOUT).await,
    };
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{}: {address}: {reason}", S::NAME);
            ExitCode::FAILURE
        }
    }
}

/// Returns an address to connect to for one to listen on: loopback in place of all addresses of the machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

/// Prints one line with the reason for the end of the process.
fn fail(name: &str, error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::from(code)
}

/// Opens a listener.
///
/// # Errors
///
/// Returns an error if the address cannot be bound, such as for a port in use, or standard input is not a listening
/// socket.
pub async fn bind(listen: Listen) -> io::Result<TcpListener> {
    let explain = |what: String| move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"));
    let listener = match listen {
        Listen::Address(address) => {
            TcpListener::bind(address).await.map_err(explain(format!("cannot listen on {address}")))
        }
        Listen::Stdin => inherited().map_err(explain("standard input is not a listening socket".to_owned())),
    }?;
    // The standard library asks for 128, which one burst of new callers fills.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

fn inherited() -> io::Result<TcpListener> {
    let listener = StdListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::{sync::oneshot, task::spawn_blocking};

    use super::*;

    /// The case of a name server that never answers: `getaddrinfo` blocks a thread.
    #[test]
    fn a_blocking_task_does_not_hold_the_end_of_the_process() {
        let (_never_sent, blocking) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let output = block_on(async {
                let (start, started) = oneshot::channel();
                spawn_blocking(move || {
                    let _ = start.send("blocking");
                    let _ = blocking.recv();
                });
                started.await
            });
            let _ = done.send(output);
        });
        let output = ended.recv_timeout(Duration::from_secs(20)).expect("block_on does not wait for the task");
        assert_eq!(output, Ok("blocking"));
    }
}
