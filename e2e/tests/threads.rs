//! `--threads`: how many threads run requests.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use e2e::{backends::Backends, service::Service};
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
