//! The backends and the collector of a scenario.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::{
    BoxError,
    client::Client,
    process::Process,
    reply::{self, Lengths, Shape},
    request::Request,
    scenario::Scenario,
    subject::{MOST_REPLICAS, Setup, free_address, port},
};

/// How long a service may take until it serves.
const START: Duration = Duration::from_secs(10);

/// What a scenario is measured with. The processes end when this is dropped.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) setup: Setup,
    _processes: Vec<Process>,
}

// === impl Services ===

impl Services {
    /// Starts the backends, which answer at once, and a collector.
    ///
    /// # Errors
    ///
    /// Returns an error if the release build is not there, or if one of them does not serve.
    pub(crate) async fn start(scenario: Scenario, tools: &Path, before: Option<&PathBuf>) -> Result<Self, BoxError> {
        let this = env::current_exe()?;
        let fanout = this.with_file_name("fanout");
        if !fanout.exists() {
            return Err(format!("there is no {}: build it as bench/run does", fanout.display()).into());
        }
        let directory = tools.join("run");
        fs::create_dir_all(&directory)?;
        let mut setup = Setup {
            fanout,
            before: before.cloned(),
            tools: tools.to_owned(),
            sources: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"),
            user_service: free_address()?,
            country_service: free_address()?,
            collector: free_address()?,
            lengths: Lengths { user: 0, countries: 0, country_count: 0 },
            directory,
        };
        let database = setup.directory.join("users.db");
        let mut users = setup.service("user-service", &setup.user_service, "off");
        users.args(["--delay", "0", "--seed", "--database"]).arg(format!("sqlite:{}", database.display()));
        let mut countries = setup.service("country-service", &setup.country_service, "off");
        countries.args(["--delay", "0"]);
        let mut collector = Command::new(&this);
        collector.args(["collector", "--listen", &setup.collector]);
        let mut processes = vec![
            Process::start(users, &setup.user_service, &setup.log("user-service")).await?,
            Process::start(countries, &setup.country_service, &setup.log("country-service")).await?,
            Process::start(collector, &setup.collector, &setup.log("collector")).await?,
        ];
        let user = message(&setup.user_service, &Request::user(Shape::Any)).await?;
        let countries = message(&setup.country_service, &Request::countries(Shape::Any)).await?;
        setup.lengths = Lengths {
            user: user.len(),
            countries: countries.len(),
            country_count: reply::fields(&countries).map_or(0, |fields| fields.len()),
        };
        if scenario == Scenario::Replicas {
            let replicas = free_address()?;
            let mut command = Command::new(&this);
            command.args(["replicas-of", "--replicas", &MOST_REPLICAS.to_string(), "--port", port(&replicas)]);
            command.args(["--user-service", &setup.user_service, "--country-service", &setup.country_service]);
            processes.push(Process::start(command, &replicas, &setup.log("replicas")).await?);
            setup.user_service.clone_from(&replicas);
            setup.country_service = replicas;
        }
        Ok(Self { setup, _processes: processes })
    }
}

/// Makes a request to a service that has just started, until it has an answer.
///
/// # Errors
///
/// Returns an error if it has none for ten seconds.
pub(crate) async fn first(address: &str, request: &Request) -> Result<(), BoxError> {
    let mut client = Client::connect(address, request).await?;
    let begun = Instant::now();
    // A service refuses requests until it serves.
    while let Err(error) = client.call(request, address).await {
        if begun.elapsed() > START {
            return Err(format!("{address} does not serve: {error}").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Returns the message of the reply of a service that has just started.
async fn message(address: &str, request: &Request) -> Result<Bytes, BoxError> {
    first(address, request).await?;
    Client::connect(address, request).await?.message(request, address).await
}
