//! A backend whose streams of health are all taken, by whoever can connect to it, keeps no gateway out.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use e2e::{backends::Backends, service::Service};
use fanout_proto::gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

/// Takes streams of health, on ever new connections, until there is none left.
async fn take_all_streams(url: &str) -> Vec<Streaming<HealthCheckResponse>> {
    let mut taken = Vec::new();
    loop {
        let mut client = HealthClient::new(e2e::connect(url).await);
        let before = taken.len();
        let refused: Status = loop {
            match client.watch(HealthCheckRequest::default()).await {
                Ok(stream) => taken.push(stream.into_inner()),
                Err(status) => break status,
            }
        };
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        if taken.len() == before {
            return taken;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_without_a_stream_of_health_to_spare_is_called_all_the_same() {
    let country = Service::start("country-service", &["--delay", "0"], "serving");
    let taken = take_all_streams(&country.url).await;
    assert!(taken.len() > 100, "{} streams", taken.len());

    let backends = Backends::start_except(&["country-service"]);
    let mut args = backends.gateway_args();
    args.extend(["--country-service", &country.url].map(str::to_owned));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let gateway = Service::start("gateway", &args, "serving");
    let mut client = GatewayServiceClient::new(e2e::connect(&gateway.url).await);
    let request = GetProfileRequest { user_id: "ada".to_owned(), ..GetProfileRequest::default() };
    assert_eq!(client.get_profile(request).await.unwrap().into_inner().country_list.unwrap().countries.len(), 249);
    drop(taken);
}
