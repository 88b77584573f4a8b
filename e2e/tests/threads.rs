//! `--threads`: how many threads run requests.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use e2e::{
    backends::Backends,
    scrape::{PROMETHEUS, wait_for_series},
    service::Service,
};
use fanout_proto::gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient};
use futures::future::join_all;

/// Returns how many threads of a service serve requests.
fn workers(args: &[&str]) -> usize {
    Service::start("country-service", args, "serving").workers()
}

#[test]
fn a_service_has_as_many_threads_as_it_is_told() {
    assert_eq!(workers(&["--threads", "1"]), 1);
    assert_eq!(workers(&["--threads", "2"]), 2);
    assert_eq!(workers(&["--threads", "5"]), 5);
    assert_eq!(workers(&[]), std::thread::available_parallelism().unwrap().get());
}

#[tokio::test]
async fn a_gateway_with_one_thread_serves_many_at_the_same_time() {
    let backends = Backends::start_except(&[]);
    let args = backends.gateway_args();
    let args: Vec<&str> = args.iter().map(String::as_str).chain(["--threads", "1"]).collect();
    let mut gateway = Service::start("gateway", &args, "serving");
    let client = GatewayServiceClient::new(e2e::connect(&gateway.url).await);
    let profiles = (0..100).map(|_| {
        let mut client = client.clone();
        async move {
            let request = GetProfileRequest { user_id: "ada".to_owned(), ..GetProfileRequest::default() };
            client.get_profile(request).await.map(|reply| reply.into_inner().country_list.unwrap().countries.len())
        }
    });
    for countries in join_all(profiles).await {
        assert_eq!(countries.unwrap(), 249);
    }
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
}

/// Calls on a connection of another thread would wake that thread twice each.
#[tokio::test]
async fn each_thread_of_a_gateway_has_a_connection_of_its_own_to_a_backend() {
    let backends = Backends::start_except(&[]);
    let connections = async |threads: &str, args: &[&str], expected: usize| {
        let backends = backends.gateway_args();
        let args = [&["--threads", threads], args, &backends.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let mut gateway = Service::start_with("gateway", &args, &PROMETHEUS, "serving");
        let callers = (0..6).map(|_| async {
            let mut client = GatewayServiceClient::new(e2e::connect(&gateway.url).await);
            for _ in 0..30 {
                client
                    .get_profile(GetProfileRequest { user_id: "ada".to_owned(), ..Default::default() })
                    .await
                    .unwrap();
            }
        });
        join_all(callers).await;
        let series = |name: &str| format!("fanout_backend_connections{{fanout_backend=\"{name}\"}} {expected}");
        let expected = ["country", "user"].map(series);
        wait_for_series(&gateway.metrics, "fanout_backend_connections{", &expected);
        gateway.terminate();
        assert_eq!(gateway.wait(), Some(0));
    };
    connections("1", &[], 1).await;
    connections("3", &[], 3).await;
    connections("3", &["--connections", "2"], 2).await;
}
