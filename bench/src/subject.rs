//! What is measured: the gateway in several settings, and its peers. The only place to change for another one.

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    reply::{Lengths, Shape},
    request::Request,
};

/// Where the programs are, and what they are told.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The `fanout` binary.
    pub(crate) fanout: PathBuf,
    /// Another build of it.
    pub(crate) before: Option<PathBuf>,
    /// Where `bench/run` has put what the peers need.
    pub(crate) tools: PathBuf,
    /// Where `bench/peers` is.
    pub(crate) sources: PathBuf,
    /// A directory for logs and databases.
    pub(crate) directory: PathBuf,
    pub(crate) user_service: String,
    pub(crate) country_service: String,
    pub(crate) collector: String,
    pub(crate) lengths: Lengths,
}

/// A program that answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// Returns how to start it at this address. It is skipped for an error.
    pub(crate) command: fn(&Setup, &str) -> io::Result<Command>,
    /// What it is asked, with this many calls to the backends.
    pub(crate) request: fn(Lengths, usize) -> Request,
}

pub(crate) const FANOUT: Subject =
    Subject { name: "fanout", command: |setup, listen| Ok(setup.gateway(listen, "off")), request: profile };
pub(crate) const FANOUT_STREAM: Subject =
    Subject { name: "StreamUsers", command: |setup, listen| Ok(setup.gateway(listen, "off")), request: users };
pub(crate) const LOGGED: Subject =
    Subject { name: "log line", command: |setup, listen| Ok(setup.gateway(listen, "info")), request: profile };
pub(crate) const SAMPLED: Subject = Subject {
    name: "1 % sampled and exported",
    command: |setup, listen| Ok(setup.exporting(listen, "0.01")),
    request: profile,
};
pub(crate) const EXPORTED: Subject =
    Subject { name: "all exported", command: |setup, listen| Ok(setup.exporting(listen, "1")), request: profile };
pub(crate) const COALESCED: Subject = Subject {
    name: "--coalesce country",
    command: |setup, listen| Ok(setup.gateway_with(listen, &["--coalesce", "country"])),
    request: profile,
};
pub(crate) const ONE_CONNECTION: Subject = Subject {
    name: "--connections 1",
    command: |setup, listen| Ok(setup.gateway_with(listen, &["--connections", "1"])),
    request: profile,
};
pub(crate) const WITHOUT_RETRIES: Subject = Subject {
    name: "--retries 0",
    command: |setup, listen| Ok(setup.gateway_with(listen, &["--retries", "0"])),
    request: profile,
};
pub(crate) const ONE_THREAD: Subject = Subject {
    name: "--threads 1",
    command: |setup, listen| Ok(setup.gateway_with(listen, &["--threads", "1"])),
    request: profile,
};
/// One thread, bound to the first processor.
pub(crate) const ONE_CORE: Subject = Subject {
    name: "one core",
    command: |setup, listen| Ok(bound(&setup.gateway_with(listen, &["--threads", "1"]), "0")),
    request: profile,
};
/// A thread for each of two processors, which are these.
pub(crate) const TWO_CORES: Subject = Subject {
    name: "two cores",
    command: |setup, listen| Ok(bound(&setup.gateway_with(listen, &["--threads", "2"]), "0,1")),
    request: profile,
};
pub(crate) const BEFORE: Subject =
    Subject { name: "before", command: |setup, listen| before(setup, &setup.gateway(listen, "off")), request: profile };
pub(crate) const BEFORE_SAMPLED: Subject = Subject {
    name: "before, 1 % sampled and exported",
    command: |setup, listen| before(setup, &setup.exporting(listen, "0.01")),
    request: profile,
};
pub(crate) const BEFORE_EXPORTED: Subject = Subject {
    name: "before, all exported",
    command: |setup, listen| before(setup, &setup.exporting(listen, "1")),
    request: profile,
};
pub(crate) const PLAIN_TONIC: Subject = Subject { name: "plain tonic", command: plain_tonic, request: profile };
pub(crate) const GRPC_AIO: Subject = Subject { name: "Python grpc.aio", command: grpc_aio, request: profile };
pub(crate) const FASTAPI: Subject =
    Subject { name: "FastAPI", command: fastapi, request: |lengths, _| Request::profile_as_json(lengths) };
pub(crate) const NODE: Subject = Subject { name: "Node grpc-js", command: node, request: profile };
pub(crate) const CPP: Subject = Subject { name: "C++ callback API", command: cpp, request: profile };
pub(crate) const ENVOY_COUNTRIES: Subject = Subject {
    name: "Envoy, ListCountries alone",
    command: envoy_countries,
    request: |lengths, _| Request::countries(Shape::Exactly(lengths.countries)),
};
pub(crate) const ENVOY_USER: Subject = Subject {
    name: "Envoy, GetUser alone",
    command: envoy_user,
    request: |lengths, _| Request::user(Shape::Exactly(lengths.user)),
};

pub(crate) const MOST_REPLICAS: usize = 1_000;

/// The gateway with replicas of each backend, all of which are one process with many addresses, and to how many of each it
/// connects.
pub(crate) const REPLICAS: [(usize, Subject); 5] = [
    (2, Subject { name: "2 replicas", command: |setup, listen| Ok(setup.replicated(listen, 2)), request: profile }),
    (
        100,
        Subject { name: "100 replicas", command: |setup, listen| Ok(setup.replicated(listen, 100)), request: profile },
    ),
    (
        MOST_REPLICAS,
        Subject {
            name: "1000 replicas",
            command: |setup, listen| Ok(setup.replicated(listen, MOST_REPLICAS)),
            request: profile,
        },
    ),
    (
        20,
        Subject {
            name: "1000 replicas, --subset-size 20",
            command: |setup, listen| Ok(setup.subset(listen, "20")),
            request: profile,
        },
    ),
    (
        4,
        Subject {
            name: "1000 replicas, --subset-size 4",
            command: |setup, listen| Ok(setup.subset(listen, "4")),
            request: profile,
        },
    ),
];

fn profile(lengths: Lengths, _: usize) -> Request {
    Request::profile(lengths)
}

fn users(lengths: Lengths, width: usize) -> Request {
    Request::users(lengths, width)
}

// === impl Setup ===

impl Setup {
    /// Returns the file for the output of a program.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{}.log", name.replace(|c: char| !c.is_alphanumeric(), "-")))
    }

    /// Returns a service of `fanout`, which exports nothing.
    pub(crate) fn service(&self, name: &str, listen: &str, log: &str) -> Command {
        let mut command = Command::new(&self.fanout);
        command.args([name, "--listen", listen, "--log", log]).env("OTEL_SDK_DISABLED", "true");
        command
    }

    fn gateway(&self, listen: &str, log: &str) -> Command {
        let url = |address: &str| format!("http://{address}");
        self.gateway_of(listen, log, &url(&self.user_service), &url(&self.country_service))
    }

    fn gateway_with(&self, listen: &str, arguments: &[&str]) -> Command {
        let mut command = self.gateway(listen, "off");
        command.args(arguments);
        command
    }

    /// The gateway with each backend at so many addresses.
    fn replicated(&self, listen: &str, replicas: usize) -> Command {
        let urls = |address: &str| {
            let url = |nth: usize| format!("http://{}:{}", replica_address(nth), port(address));
            (0..replicas).map(url).collect::<Vec<_>>().join(",")
        };
        self.gateway_of(listen, "off", &urls(&self.user_service), &urls(&self.country_service))
    }

    /// The gateway with as many addresses of each backend as there are, of which it chooses so many.
    fn subset(&self, listen: &str, size: &str) -> Command {
        let mut command = self.replicated(listen, MOST_REPLICAS);
        command.args(["--subset-size", size]);
        command
    }

    fn gateway_of(&self, listen: &str, log: &str, users: &str, countries: &str) -> Command {
        let mut command = self.service("gateway", listen, log);
        command.args(["--user-service", users, "--country-service", countries]);
        // All places may be one caller's: there is no other.
        command.args(["--backend-max-in-flight", "16384"]);
        command
    }

    fn exporting(&self, listen: &str, share: &str) -> Command {
        let mut command = self.gateway(listen, "off");
        command
            .env_remove("OTEL_SDK_DISABLED")
            .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}", self.collector))
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
            .env("OTEL_TRACES_SAMPLER_ARG", share);
        command
    }

    /// Returns a program that is given its address and those of the backends by environment variables.
    fn peer(&self, program: &Path, arguments: &[&Path], listen: &str) -> io::Result<Command> {
        for path in [program].iter().chain(arguments) {
            if !path.exists() {
                return Err(io::Error::other(format!("there is no {}: see what bench/run says", path.display())));
            }
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("LISTEN", listen)
            .env("USER_SERVICE", &self.user_service)
            .env("COUNTRY_SERVICE", &self.country_service)
            .env("PYTHONPATH", self.tools.join("python"));
        Ok(command)
    }
}

/// The same command with the other build.
fn before(setup: &Setup, command: &Command) -> io::Result<Command> {
    let program = setup.before.as_ref().ok_or_else(|| io::Error::other("--before names no other build"))?;
    Ok(by(Command::new(program), command))
}

/// The same command on these processors.
fn bound(command: &Command, processors: &str) -> Command {
    let mut taskset = Command::new("taskset");
    taskset.args(["--cpu-list", processors]).arg(command.get_program());
    by(taskset, command)
}

/// Gives a program the arguments and the variables of a command.
fn by(mut program: Command, command: &Command) -> Command {
    program.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => program.env(name, value),
            None => program.env_remove(name),
        };
    }
    program
}

fn plain_tonic(setup: &Setup, listen: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["plain-tonic", "--listen", listen]);
    command.arg("--user-service").arg(format!("http://{}", setup.user_service));
    command.arg("--country-service").arg(format!("http://{}", setup.country_service));
    Ok(command)
}

fn grpc_aio(setup: &Setup, listen: &str) -> io::Result<Command> {
    setup.peer(&setup.tools.join("venv/bin/python"), &[&setup.sources.join("python/gateway.py")], listen)
}

fn fastapi(setup: &Setup, listen: &str) -> io::Result<Command> {
    setup.peer(&setup.tools.join("venv/bin/python"), &[&setup.sources.join("python/fastapi_gateway.py")], listen)
}

fn node(setup: &Setup, listen: &str) -> io::Result<Command> {
    let modules = setup.tools.join("node/node_modules");
    if !modules.exists() {
        return Err(io::Error::other(format!("there is no {}: see what bench/run says", modules.display())));
    }
    let mut command = setup.peer(Path::new("/usr/bin/env"), &[], listen)?;
    // Modules are searched from where the script is.
    command.arg("node").arg(setup.tools.join("node/gateway.js")).env("PROTO", setup.sources.join("../../proto"));
    Ok(command)
}

fn cpp(setup: &Setup, listen: &str) -> io::Result<Command> {
    setup.peer(&setup.tools.join("cpp/gateway"), &[], listen)
}

fn envoy_countries(setup: &Setup, listen: &str) -> io::Result<Command> {
    envoy(setup, listen, &setup.country_service)
}

fn envoy_user(setup: &Setup, listen: &str) -> io::Result<Command> {
    envoy(setup, listen, &setup.user_service)
}

/// Envoy with one listener and one cluster, with two worker threads as the gateway has on two cores.
fn envoy(setup: &Setup, listen: &str, backend: &str) -> io::Result<Command> {
    let template = fs::read_to_string(setup.sources.join("envoy.yaml"))?;
    let config = template.replace("LISTEN_PORT", port(listen)).replace("BACKEND_PORT", port(backend));
    let path = setup.directory.join(format!("envoy-{}.yaml", port(listen)));
    fs::write(&path, config)?;
    let mut command = setup.peer(&setup.tools.join("venv/bin/envoy"), &[], listen)?;
    let cores = std::thread::available_parallelism()?.get().to_string();
    command.arg("-c").arg(path).args(["--concurrency", &cores, "--log-level", "error", "--disable-hot-restart"]);
    Ok(command)
}

/// Returns the address of a replica: all of 127.0.0.0/8 is this machine.
pub(crate) fn replica_address(nth: usize) -> Ipv4Addr {
    let [high, low] = [nth / 250, nth % 250 + 1].map(|part| u8::try_from(part).expect("at most 64,000 replicas"));
    Ipv4Addr::new(127, 0, high, low)
}

pub(crate) fn port(address: &str) -> &str {
    address.rsplit_once(':').map_or("", |(_, port)| port)
}

/// Returns an address that was free a moment ago.
pub(crate) fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
