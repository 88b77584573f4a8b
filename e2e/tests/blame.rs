//! What one caller makes of its requests disturbs no other: an honest caller goes on beside it.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    connect,
    service::Service,
    up::Up,
    wait::within,
};
use fanout_proto::gateway::v1::{GetHomeCountryRequest, gateway_service_client::GatewayServiceClient};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

/// How many requests the honest caller makes beside the others.
const HONEST: usize = 20;

/// How many requests of the others fail before each of them: more calls in a row than open a circuit breaker.
const BETWEEN: usize = 100;

/// Callers that make the same request again and again, until they are stopped.
struct Flood {
    callers: JoinSet<()>,
    is_over: Arc<AtomicBool>,
    failed: watch::Receiver<usize>,
}

fn request(baggage: &str) -> Request<GetHomeCountryRequest> {
    let mut request = Request::new(GetHomeCountryRequest { user_id: "ada".into(), ..GetHomeCountryRequest::default() });
    request.metadata_mut().insert("baggage", baggage.parse().unwrap());
    request
}

// === impl Flood ===

impl Flood {
    /// Starts eight callers with this baggage, whose every request fails so.
    fn start(gateway: &GatewayServiceClient<Channel>, baggage: &str, is_expected: fn(&Status) -> bool) -> Self {
        let (is_over, (count, failed)) = (Arc::<AtomicBool>::default(), watch::channel(0));
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (mut gateway, baggage) = (gateway.clone(), baggage.to_owned());
            let (is_over, count) = (Arc::clone(&is_over), count.clone());
            callers.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let status = gateway.get_home_country(request(&baggage)).await.unwrap_err();
                    assert!(is_expected(&status), "{status:?}");
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        Self { callers, is_over, failed }
    }

    /// Waits until so many more of their requests have failed.
    async fn wait_for(&mut self, requests: usize) {
        let until = *self.failed.borrow() + requests;
        let failed = within("the others' requests", self.failed.wait_for(|failed| *failed >= until)).await;
        failed.expect("the others go on");
    }

    /// Stops them.
    async fn stop(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = within("the last request of each", self.callers.join_next()).await {
            ended.unwrap();
        }
    }
}

/// Makes honest requests beside a flood, none of which fails.
async fn serves_others(gateway: &str, baggage: &str, is_expected: fn(&Status) -> bool) {
    let connect = async || GatewayServiceClient::new(connect(gateway).await);
    let mut flood = Flood::start(&connect().await, baggage, is_expected);
    let mut honest = connect().await;
    for number in 0..HONEST {
        flood.wait_for(BETWEEN).await;
        let reply = honest.get_home_country(request("tenant=7")).await;
        let country = reply.unwrap_or_else(|status| panic!("request {number}: {status:?}")).into_inner().country;
        assert_eq!(country.unwrap().code, "GB");
    }
    flood.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_asks_for_faults_gets_them_alone() {
    let up = Up::start(&["--delay", "0"]);
    let is_expected = |status: &Status| status.code() == Code::Unavailable;
    serves_others(&up.url("gateway"), "user.error-rate=1", is_expected).await;
    let is_of_breaker = |line: &serde_json::Value| line.to_string().contains("circuit breaker");
    assert_eq!(up.count(is_of_breaker), 0, "the circuit breaker has not opened");
}

/// The gateway does not read its callers' baggage; only its length counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_too_much_baggage_fails_alone() {
    let backends = Backends::start_except(&[]);
    let args = backends.gateway_args();
    let args: Vec<_> = args.iter().map(String::as_str).chain(NO_REQUEST_LINES).collect();
    let mut gateway = Service::start("gateway", &args, "serving");
    let baggage = format!("tenant={}", "7".repeat(15_500));
    serves_others(&gateway.url, &baggage, |status| {
        let details = status.get_details_bad_request();
        let message = "baggage: 15507 bytes are too long; at most 8192 are allowed";
        (status.code(), status.message()) == (Code::InvalidArgument, message)
            && details.is_some_and(|details| details.field_violations[0].field == "baggage")
    })
    .await;
    let warnings = gateway.stop_and_take_warnings();
    let is_of_flood = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("is slowed down"));
    assert!(warnings.len() <= 1 && warnings.iter().all(is_of_flood), "only the flood's connection: {warnings:?}");
}

/// Entries with other keys than `--baggage-keys` do not reach a backend: there this one is an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_gets_only_baggage_with_allowed_keys() {
    let country = Service::start("country-service", &["--delay", "0", "--allow-overrides"], "serving");
    let backends = Backends::start_except(&["country-service"]);
    let (read, unread) = (Code::InvalidArgument, Code::Ok);
    for (keys, code) in [("*", read), ("country.*", read), ("tenant", unread), ("none", unread)] {
        let mut args = backends.gateway_args();
        args.extend(["--country-service", &country.url, "--baggage-keys", keys].map(str::to_owned));
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let gateway = Service::start("gateway", &args, "serving");
        let mut client = GatewayServiceClient::new(connect(&gateway.url).await);
        let result = client.get_home_country(request("tenant=7,country.delay=soon")).await;
        assert_eq!(result.err().map_or(Code::Ok, |status| status.code()), code, "{keys}");
    }
}
