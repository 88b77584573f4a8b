//! SIGTERM: calls in flight complete, and the process ends within its drain time.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{net::TcpStream, time::Instant};

use e2e::service::Service;
use fanout_proto::country::v1::{GetCountryRequest, country_service_client::CountryServiceClient};
use service_kit::process::EX_TEMPFAIL;
use tonic::transport::Channel;

async fn client(service: &Service) -> CountryServiceClient<Channel> {
    CountryServiceClient::new(e2e::connect(&service.url).await)
}

/// Starts a call, and returns when the service has received it.
async fn call_in_flight(service: &Service) -> tokio::task::JoinHandle<Result<String, tonic::Code>> {
    let mut client = client(service).await;
    let mut probe_client = client.clone();
    let mut call = Box::pin(async move {
        let reply = client.get_country(GetCountryRequest { code: "GB".into() }).await;
        reply.map(|country| country.into_inner().code).map_err(|status| status.code())
    });
    assert!(futures::poll!(&mut call).is_pending());
    let call = tokio::spawn(call);
    // One connection keeps requests in order: a reply to the second means that the first has arrived.
    let mut probe = tonic::Request::new(GetCountryRequest { code: "GB".into() });
    probe.metadata_mut().insert("baggage", "country.delay=0".parse().unwrap());
    probe_client.get_country(probe).await.unwrap();
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_complete() {
    let mut service = Service::start("country-service", &["--delay", "500ms", "--allow-overrides"], "serving");
    let call = call_in_flight(&service).await;
    service.terminate();
    assert_eq!(call.await.unwrap(), Ok("GB".to_owned()));
    assert_eq!(service.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_in_time() {
    let args = ["--delay", "25s", "--allow-overrides", "--drain", "300ms"];
    let mut service = Service::start("country-service", &args, "serving");
    let _sent_nothing = TcpStream::connect(service.address()).unwrap();
    let _idle = client(&service).await;
    let call = call_in_flight(&service).await;
    let begun = Instant::now();
    service.terminate();
    assert_eq!(service.wait(), Some(EX_TEMPFAIL.into()), "the call is cut off");
    assert!(begun.elapsed().as_secs() < 15, "does not wait for the call's 25 s: {:?}", begun.elapsed());
    assert!(call.await.unwrap().is_err());
}
