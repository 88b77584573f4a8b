//! Attackers that ask a gateway for many users at once.

use e2e::{
    backends::{Backends, NO_REQUEST_LINES},
    connect,
    scrape::{PROMETHEUS, series, wait_for_series},
    service::Service,
};
use fanout_proto::gateway::v1::{GetProfileRequest, StreamUsersRequest, gateway_service_client::GatewayServiceClient};
use prost::Message as _;

use crate::{
    attacker::Attacker,
    exclusive::shared,
    frames::{INITIAL_WINDOW_SIZE, headers, message, stream},
};

const STREAM_USERS: &str = "/fanout.gateway.v1.GatewayService/StreamUsers";

/// Returns how many requests a service has rejected because too many were in flight.
fn shed(service: &Service) -> usize {
    let counts = series(&service.metrics, "fanout_server_shed_total");
    counts.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()).sum()
}

/// The calls at the backend go on without a reader. What the gateway keeps is the attacker's alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_never_read() {
    const STREAMS: u32 = 66;
    let _shared = shared().await;
    let data = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", data.path().join("users.db").display());
    let args = ["--database", &database, "--seed", "--delay", "20ms"];
    let args: Vec<_> = args.into_iter().chain(NO_REQUEST_LINES).collect();
    let users = Service::start_with("user-service", &args, &PROMETHEUS, "serving");
    let others = Backends::start_except(&["user-service"]);
    let urls = others.gateway_args();
    let args = ["--user-service", &users.url, "--max-in-flight", "256"].into_iter().chain(NO_REQUEST_LINES);
    let args: Vec<_> = args.chain(urls.iter().map(String::as_str)).collect();
    let mut gateway = Service::start_with("gateway", &args, &PROMETHEUS, "serving");

    let user_ids = vec!["ada".to_owned(); 1000];
    let request = StreamUsersRequest { user_ids, max_in_flight: 256, ..StreamUsersRequest::default() }.encode_to_vec();
    let mut attacker = Attacker::connect(gateway.address(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let call = |call| [headers(stream(call), STREAM_USERS), message(stream(call), &request)].concat();
    assert!(attacker.send(&(0..STREAMS).flat_map(call).collect::<Vec<_>>()).await);
    attacker.answered(STREAMS as usize).await;

    let mut honest = GatewayServiceClient::new(connect(&gateway.url).await);
    let profile = || GetProfileRequest { user_id: "grace".to_owned(), ..GetProfileRequest::default() };
    for _ in 0..20 {
        honest.get_profile(profile()).await.unwrap();
    }
    // A stream that nobody reads has most of its users left, and counts as a share and one: 65. So three fit.
    assert_eq!(shed(&gateway), 63);
    wait_for_series(&users.metrics, "fanout_server_in_flight", &["fanout_server_in_flight 0".to_owned()]);
    let kept = series(&gateway.metrics, "fanout_server_in_flight");
    assert_ne!(kept, ["fanout_server_in_flight 0"], "the attacker has lost them already");
    honest.get_profile(profile()).await.unwrap();
    drop(attacker);
    wait_for_series(&gateway.metrics, "fanout_server_in_flight", &["fanout_server_in_flight 0".to_owned()]);
    assert!(gateway.stop_and_count_warnings() <= 2, "one for all rejections in ten seconds");
}
