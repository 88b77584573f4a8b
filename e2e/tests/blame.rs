//! What one caller makes of its requests disturbs no other: an honest caller goes on beside it.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use e2e::{up::Up, wait::within};
use fanout_proto::gateway::v1::{GetHomeCountryRequest, gateway_service_client::GatewayServiceClient};
use tokio::{sync::watch, task::JoinSet};
use tonic::{Code, Request, Status, transport::Channel};

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
async fn serves_others(baggage: &str, is_expected: fn(&Status) -> bool) {
    let up = Up::start(&["--delay", "0"]);
    let mut flood = Flood::start(&up.gateway().await, baggage, is_expected);
    let mut honest = up.gateway().await;
    for number in 0..HONEST {
        flood.wait_for(BETWEEN).await;
        let reply = honest.get_home_country(request("tenant=7")).await;
        let country = reply.unwrap_or_else(|status| panic!("request {number}: {status:?}")).into_inner().country;
        assert_eq!(country.unwrap().code, "GB");
    }
    flood.stop().await;
    let is_of_breaker = |line: &serde_json::Value| line.to_string().contains("circuit breaker");
    assert_eq!(up.count(is_of_breaker), 0, "the circuit breaker has not opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_asks_for_faults_gets_them_alone() {
    serves_others("user.error-rate=1", |status| status.code() == Code::Unavailable).await;
}
