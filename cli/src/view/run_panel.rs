//! Sends the requests of the page's panel.

use std::time::Instant;

use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tonic::transport::Channel;
use viewer::gateway::{Action, Gateway, GatewayError};

use crate::{
    compare::{measurement::measure, run::Run},
    gateway_client::{
        connector::Connector,
        request::{RequestOptions, Strategy},
        tls::BadTlsFile,
    },
    services,
    view::{
        questions, run_document,
        run_request::{POLICIES, RunRequest},
    },
};

/// The users of the seed, to choose from. Others can be typed.
const USERS: [&str; 9] = ["ada", "alan", "barbara", "donald", "edsger", "grace", "katherine", "konrad", "kristen"];

/// The gateway of the panel.
#[derive(Debug)]
pub(super) struct RunPanel {
    options: RequestOptions,
    connector: Connector,
}

// === impl RunPanel ===

impl RunPanel {
    /// Creates the panel's gateway. Reads the files for TLS.
    pub(super) fn new(options: RequestOptions) -> Result<Self, BadTlsFile> {
        Ok(Self { connector: Connector::new(&options)?, options })
    }

    pub(super) fn options(&self) -> &RequestOptions {
        &self.options
    }

    pub(super) async fn connect(&self) -> Result<Channel, GatewayError> {
        self.connector.connect_checked().await.map_err(|error| GatewayError::Unreachable(error.to_string()))
    }

    async fn run(&self, body: Value) -> Result<Value, GatewayError> {
        let run = RunRequest::parse(body, &self.options)?;
        let strategy = run.strategy.unwrap_or(Strategy::Concurrent);
        let channel = self.connect().await?;
        let begun = Instant::now();
        let runs = at_once(&channel, &run, strategy).await?;
        let elapsed = begun.elapsed();
        Ok(json!({
            "runs": documents(&runs, &run),
            "elapsed": run_document::nanos(elapsed),
            "commands": run_document::commands(&run.request, &[strategy]),
        }))
    }

    /// One after the other, so that none takes time from another.
    async fn compare(&self, body: Value) -> Result<Value, GatewayError> {
        let run = RunRequest::parse(body, &self.options)?;
        let channel = self.connect().await?;
        let begun = Instant::now();
        let mut results = Vec::new();
        for strategy in Strategy::ALL {
            let runs = at_once(&channel, &run, strategy).await?;
            results.push(run_document::run(slowest(&runs), run.request.method));
        }
        Ok(json!({
            "results": results,
            "elapsed": run_document::nanos(begun.elapsed()),
            "commands": run_document::commands(&run.request, &Strategy::ALL),
        }))
    }
}

/// Makes the request once for each caller, at once.
pub(super) async fn at_once(channel: &Channel, run: &RunRequest, strategy: Strategy) -> Result<Vec<Run>, GatewayError> {
    let requests = (0..run.callers).map(|_| measure(channel.clone(), run.request.clone(), strategy));
    let runs = join_all(requests).await;
    // All were rejected, and for the same reason.
    match runs.iter().find_map(Run::rejection) {
        Some(reason) => {
            Err(GatewayError::Field { field: "body", message: format!("the gateway rejects it: {reason}") })
        }
        None => Ok(runs),
    }
}

/// Returns the documents of the runs.
pub(super) fn documents(runs: &[Run], of: &RunRequest) -> Vec<Value> {
    runs.iter().map(|run| run_document::run(run, of.request.method)).collect()
}

/// Returns the run that took longest: with several callers that is how long they waited.
fn slowest(runs: &[Run]) -> &Run {
    runs.iter().max_by_key(|run| run.waited).expect("there is at least one caller")
}

impl Gateway for RunPanel {
    fn url(&self) -> String {
        self.options.gateway.to_string()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Value, GatewayError>> {
        let backends: Vec<_> = services::backends().map(services::Service::short_name).collect();
        let document = json!({
            "url": self.url(),
            "backends": backends,
            "strategies": Strategy::ALL.map(Strategy::name),
            "policies": POLICIES,
            "users": USERS,
        });
        Box::pin(async { Ok(document) })
    }

    fn act(&self, action: Action, body: Value) -> BoxFuture<'_, Result<Value, GatewayError>> {
        match action {
            Action::Run => Box::pin(self.run(body)),
            Action::Compare => Box::pin(self.compare(body)),
            Action::Question(number) => Box::pin(questions::answer(self, number)),
        }
    }
}
