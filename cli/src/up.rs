//! `fanout up`: the three services, as processes of their own.
//!
//! The same binary is started again for each, so that one can be killed and looked at
//! like in production. The ports are opened here and handed down, so that no port can be
//! taken by another in between, and a taken one is known before anything starts.

mod banner;
mod child;
mod metrics;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use service_kit::{
    delay::Distribution,
    health, process,
    telemetry::{LogArgs, LogFormat, TelemetryError},
};
use tokio::time::{Instant, sleep};

pub use self::child::Ended;
pub(crate) use self::child::end_with_parent;
use self::{child::Child, metrics::MetricsPorts};
use crate::terminal::{live_line::LiveLine, output::OutputArgs};

/// How long the services may take until they are healthy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long one may take to end after SIGTERM: its own drain, its last spans, and a little
/// more.
const STOP_TIMEOUT: Duration = Duration::from_secs(14);

/// Flags of `fanout up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// How long both services take to answer: 3s, 300ms±30ms, p50=20ms,p99=200ms, or 0
    #[arg(long, default_value = "3s", value_name = "DELAY")]
    pub delay: Distribution,

    /// Where the users are kept, in a file `users.db`; made where it is missing
    #[arg(long, default_value = "fanout-data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,

    /// The gateway's port on 127.0.0.1; 0 is any free one
    #[arg(long, default_value_t = 50051, value_name = "PORT")]
    pub gateway_port: u16,

    /// The user service's port on 127.0.0.1; 0 is any free one
    #[arg(long, default_value_t = 50052, value_name = "PORT")]
    pub user_port: u16,

    /// The country service's port on 127.0.0.1; 0 is any free one
    #[arg(long, default_value_t = 50053, value_name = "PORT")]
    pub country_port: u16,

    /// What the services log.
    #[command(flatten)]
    pub log: LogArgs,

    /// How to show what runs.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Why `fanout up` ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// Another process listens there.
    #[error("cannot listen on port {port} for the {service}: {source}; choose another with {flag}")]
    Port {
        /// The port.
        port: u16,
        /// Who wanted it.
        service: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// The directory for the users cannot be made.
    #[error("cannot make the directory {}: {source}; choose another with --data-dir", .path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The environment asks for metrics in a way that cannot be.
    #[error(transparent)]
    Metrics(#[from] TelemetryError),
    /// A service's process cannot be started or watched.
    #[error("cannot start a process: {0}")]
    Process(#[from] io::Error),
    /// A service ended by itself.
    #[error("{0}; the others are stopped too")]
    Ended(Ended),
    /// A service is not healthy in time.
    #[error("the {service} is not healthy after {} s: {reason}", START_TIMEOUT.as_secs())]
    Unhealthy {
        /// Which.
        service: &'static str,
        /// What it answered last.
        reason: String,
    },
}

/// One of the three, before it runs.
struct Plan {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
    args: Vec<String>,
}

/// What runs where.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    /// The service's name.
    pub service: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// Where its metrics can be scraped, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// Runs the three services until SIGINT or SIGTERM.
///
/// # Errors
///
/// Where one cannot be started, or ends by itself. The others are stopped then.
pub async fn up(args: &UpArgs) -> Result<(), UpError> {
    let stop = process::signals()?;
    let metrics = MetricsPorts::from_env()?;
    let mut children = Vec::new();
    // Backends first: the gateway is the one that needs the others.
    for plan in plan(args)? {
        children.push(Child::spawn(plan.name, plan.listener, plan.address, &plan.args, metrics.as_ref())?);
    }
    let ended = tokio::select! {
        ended = run(args, metrics.as_ref(), &mut children) => ended,
        () = stop => Ok(()),
    };
    // The gateway first, so that what it has in flight still finds the others.
    if let Some(mut gateway) = children.pop() {
        gateway.stop(STOP_TIMEOUT).await?;
    }
    futures::future::try_join_all(children.iter_mut().map(|child| child.stop(STOP_TIMEOUT))).await?;
    ended
}

/// Waits until all are healthy, says so, and then until one ends.
async fn run(args: &UpArgs, metrics: Option<&MetricsPorts>, children: &mut [Child]) -> Result<(), UpError> {
    let begun = Instant::now();
    {
        let _live = LiveLine::start(|elapsed| format!("starting … {:.1} s", elapsed.as_secs_f64()));
        for index in 0..children.len() {
            let (name, address) = (children[index].name(), children[index].address());
            tokio::select! {
                healthy = wait_healthy(name, address) => healthy?,
                ended = any_ends(children) => return Err(UpError::Ended(ended?)),
            }
        }
    }
    let running: Vec<Running> = children.iter().map(Child::running).collect();
    banner::print(args, metrics, &running, begun.elapsed())?;
    Err(UpError::Ended(any_ends(children).await?))
}

async fn any_ends(children: &mut [Child]) -> io::Result<Ended> {
    let ends = children.iter_mut().map(|child| Box::pin(child.ended()));
    futures::future::select_all(ends).await.0
}

async fn wait_healthy(service: &'static str, address: SocketAddr) -> Result<(), UpError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match health::check(&format!("http://{address}"), Duration::from_secs(1)).await {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= deadline => {
                return Err(UpError::Unhealthy { service, reason: reason.to_string() });
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Opens the ports, and puts together how each service is started.
fn plan(args: &UpArgs) -> Result<[Plan; 3], UpError> {
    let (users, users_at) = listen("user-service", args.user_port, "--user-port")?;
    let (countries, countries_at) = listen("country-service", args.country_port, "--country-port")?;
    let (gateway, gateway_at) = listen("gateway", args.gateway_port, "--gateway-port")?;
    let data_dir = &args.data_dir;
    std::fs::create_dir_all(data_dir).map_err(|source| UpError::DataDir { path: data_dir.clone(), source })?;
    let shared = shared_args(args);
    let with = |more: &[&str]| shared.iter().cloned().chain(more.iter().map(ToString::to_string)).collect();
    let delay = args.delay.to_string();
    let database = format!("sqlite:{}", data_dir.join("users.db").display());
    let backend = ["--delay", &delay, "--allow-overrides"];
    Ok([
        Plan {
            name: "user-service",
            listener: users,
            address: users_at,
            args: with(&[&backend[..], &["--database", &database, "--seed"]].concat()),
        },
        Plan { name: "country-service", listener: countries, address: countries_at, args: with(&backend) },
        Plan {
            name: "gateway",
            listener: gateway,
            address: gateway_at,
            args: with(&[
                "--user-service",
                &format!("http://{users_at}"),
                "--country-service",
                &format!("http://{countries_at}"),
            ]),
        },
    ])
}

fn shared_args(args: &UpArgs) -> Vec<String> {
    let format = if args.output.json { LogFormat::Json } else { args.log.log_format };
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    ["--listen", "stdin", "--log", &args.log.log, "--log-format", format].map(str::to_owned).to_vec()
}

fn listen(service: &'static str, port: u16, flag: &'static str) -> Result<(TcpListener, SocketAddr), UpError> {
    let explain = |source| UpError::Port { port, service, flag, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(explain)?;
    let address = listener.local_addr().map_err(explain)?;
    Ok((listener, address))
}
