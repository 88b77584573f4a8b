//! A gateway without backends: it waits as long as a test needs, and reports exact figures.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "every test uses a part of it")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use fanout_proto::gateway::v1::{
    CallReport, CallState, FanOutReport, GetHomeCountryRequest, GetProfileRequest, Strategy, StreamUsersRequest,
    spliced::{
        GetHomeCountryResponse, GetProfileResponse, StreamUsersResponse,
        gateway_service_server::{GatewayService, GatewayServiceServer},
    },
};
use futures::stream::BoxStream;
use prost::Message as _;
use tokio::sync::{Semaphore, watch};
use tonic::{
    Code, Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::{Server, server::TcpIncoming},
};

/// How the gateway behaves.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The duration of the call "user". For the user "nobody" the call fails after it.
    pub user: Duration,
    /// The duration of the call "country".
    pub country: Duration,
    /// If set, one request of this many fails with `RESOURCE_EXHAUSTED`.
    pub fail_every: Option<u64>,
    /// If set, requests from this one on wait until this time has passed since it.
    pub stall: Option<(u64, Duration)>,
    /// If set, each request waits until the test releases it.
    pub held: bool,
}

/// A gateway that runs until the test ends.
pub struct FakeGateway {
    /// Its URL.
    pub url: String,
    served: Arc<Served>,
}

struct Served {
    behaviour: Behaviour,
    requests: watch::Sender<u64>,
    stalled_until: Mutex<Option<tokio::time::Instant>>,
    released: Semaphore,
    metadata: Mutex<Vec<MetadataMap>>,
}

// === impl FakeGateway ===

impl FakeGateway {
    /// Starts it on a free port.
    pub async fn start(behaviour: Behaviour) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), behaviour).await
    }

    /// Starts it at an address.
    pub async fn start_at(address: SocketAddr, behaviour: Behaviour) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::new(Served::new(behaviour));
        let service = GatewayServiceServer::from_arc(Arc::clone(&served));
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))),
        );
        Self { url, served }
    }

    /// Returns the values of a header in the requests so far.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let metadata = self.served.metadata.lock().unwrap();
        metadata.iter().filter_map(|map| Some(map.get(name)?.to_str().unwrap().to_owned())).collect()
    }

    /// Lets one more request go on.
    pub fn release(&self) {
        self.served.released.add_permits(1);
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> u64 {
        *self.served.requests.borrow()
    }

    /// Waits until there were this many requests.
    pub async fn wait_for_requests(&self, requests: u64) {
        self.served.requests.subscribe().wait_for(|count| *count >= requests).await.unwrap();
    }
}

// === impl Served ===

impl Served {
    fn new(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            requests: watch::Sender::default(),
            stalled_until: Mutex::default(),
            released: Semaphore::new(0),
            metadata: Mutex::default(),
        }
    }

    /// Records a request, which may stall or fail.
    async fn enter(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.metadata.lock().unwrap().push(metadata.clone());
        let mut number = 0;
        self.requests.send_modify(|requests| {
            *requests += 1;
            number = *requests;
        });
        if let Some((from, time)) = self.behaviour.stall.filter(|(from, _)| number >= *from) {
            let now = tokio::time::Instant::now();
            let until = *self.stalled_until.lock().unwrap().get_or_insert_with(|| {
                assert_eq!(number, from);
                now + time
            });
            tokio::time::sleep_until(until).await;
        }
        if self.behaviour.held {
            self.released.acquire().await.unwrap().forget();
        }
        match self.behaviour.fail_every {
            Some(every) if number.is_multiple_of(every) => Err(Status::resource_exhausted("enough for now")),
            _ => Ok(()),
        }
    }

    async fn run(&self, user: &str, strategy: i32, chained: bool, best_effort: bool) -> Result<FanOutReport, Status> {
        let strategy = match Strategy::try_from(strategy).unwrap() {
            Strategy::Unspecified => Strategy::Concurrent,
            chosen => chosen,
        };
        let in_turn = chained || strategy == Strategy::Sequential;
        let report = report(&self.behaviour, user == "nobody", strategy, (in_turn, chained), best_effort);
        tokio::time::sleep(report.wall_time.unwrap().try_into().unwrap()).await;
        if user == "nobody" && !best_effort {
            let mut status = Status::new(Code::NotFound, "no user \"nobody\"");
            let bytes = MetadataValue::from_bytes(&report.encode_to_vec());
            status.metadata_mut().insert_bin("fanout-report-bin", bytes);
            return Err(status);
        }
        Ok(report)
    }
}

/// Returns the exact report of two calls, of which the first may fail.
fn report(
    behaviour: &Behaviour,
    fails: bool,
    strategy: Strategy,
    (in_turn, chained): (bool, bool),
    best_effort: bool,
) -> FanOutReport {
    let (user, mut country) = (behaviour.user, behaviour.country);
    let start = if in_turn { user } else { Duration::ZERO };
    let mut state = CallState::Ok;
    if fails && !best_effort {
        country = if in_turn { Duration::ZERO } else { user.min(country) };
        state = if in_turn { CallState::Skipped } else { CallState::Cancelled };
    }
    let wall = user.max(start + country);
    let total = user + country;
    let chain = if chained { total } else { user.max(country) };
    let call = |name: &str, method: &str, state: CallState, start: Duration, duration: Duration, critical| CallReport {
        name: name.to_owned(),
        method: method.to_owned(),
        state: state.into(),
        start: start.try_into().ok(),
        duration: duration.try_into().ok(),
        attempts: 1,
        hedges: 0,
        hedge_won: false,
        critical,
        ..CallReport::default()
    };
    let user_state = if fails { CallState::Failed } else { CallState::Ok };
    let user_is_last = user > start + country || state == CallState::Skipped;
    let mut first = call("user", "fanout.user.v1.UserService/GetUser", user_state, Duration::ZERO, user, user_is_last);
    if fails {
        let message = "no user \"nobody\"".to_owned();
        first.error = Some(tonic_types::pb::Status { code: Code::NotFound.into(), message, ..Default::default() });
    }
    let method = "fanout.country.v1.CountryService/ListCountries";
    FanOutReport {
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        strategy: strategy.into(),
        wall_time: wall.try_into().ok(),
        total_time: total.try_into().ok(),
        saved_time: total.saturating_sub(wall).try_into().ok(),
        avoidable_time: wall.saturating_sub(chain).try_into().ok(),
        calls: vec![first, call("country", method, state, start, country, !user_is_last)],
    }
}

#[tonic::async_trait]
impl GatewayService for Served {
    type StreamUsersStream = BoxStream<'static, Result<StreamUsersResponse, Status>>;

    async fn get_profile(&self, request: Request<GetProfileRequest>) -> Result<Response<GetProfileResponse>, Status> {
        self.enter(request.metadata()).await?;
        let request = request.into_inner();
        let report = self.run(&request.user_id, request.strategy, false, request.failure_policy == 2).await?;
        Ok(Response::new(GetProfileResponse { report: Some(report), ..GetProfileResponse::default() }))
    }

    async fn get_home_country(
        &self,
        request: Request<GetHomeCountryRequest>,
    ) -> Result<Response<GetHomeCountryResponse>, Status> {
        self.enter(request.metadata()).await?;
        let request = request.into_inner();
        let report = self.run(&request.user_id, request.strategy, true, request.failure_policy == 2).await?;
        Ok(Response::new(GetHomeCountryResponse { report: Some(report), ..GetHomeCountryResponse::default() }))
    }

    async fn stream_users(
        &self,
        _request: Request<StreamUsersRequest>,
    ) -> Result<Response<Self::StreamUsersStream>, Status> {
        Err(Status::unimplemented("not called by this program"))
    }
}

/// The output of an ended process.
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs the binary with these flags, in a known environment.
pub async fn fanout(url: &str, flags: &[&str]) -> Finished {
    let mut command = command(url, flags);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Returns a command for the binary.
pub fn command(url: &str, flags: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(option_env!("CARGO_BIN_EXE_fanout").unwrap_or("fanout"));
    command.args(flags).env("FANOUT_GATEWAY", url).env("LC_ALL", "C.UTF-8").env("COLUMNS", "80");
    command
}

/// Parses the printed JSON document.
pub fn json(finished: &Finished) -> serde_json::Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
}
