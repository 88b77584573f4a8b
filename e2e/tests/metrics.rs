//! The metrics that Prometheus or a collector gets from a process.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{net::TcpStream, time::Instant};

use e2e::{
    TIMEOUT,
    collector::Collector,
    connect,
    scrape::{PROMETHEUS, get, series, wait_for_series},
    service::Service,
    up::Up,
};
use fanout_proto::{
    country::v1::{Country, GetCountryRequest, country_service_client::CountryServiceClient},
    gateway::v1::GetProfileRequest,
};
use http::uri::PathAndQuery;
use service_kit::health;
use tonic::{Code, Request, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

const SERVER_COUNT: &str = "rpc_server_call_duration_seconds_count";
const CLIENT_COUNT: &str = "rpc_client_call_duration_seconds_count";
const GET_COUNTRY: &str = "fanout.country.v1.CountryService/GetCountry";

async fn channel(service: &Service) -> Channel {
    connect(&service.url).await
}

async fn get_country(channel: &Channel, code: &str) -> Result<String, Code> {
    let reply = CountryServiceClient::new(channel.clone()).get_country(GetCountryRequest { code: code.into() }).await;
    reply.map(|country| country.into_inner().name).map_err(|status| status.code())
}

/// Calls a method by its path.
async fn call(channel: &Channel, path: &'static str) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<GetCountryRequest, Country>::default();
    let request = Request::new(GetCountryRequest::default());
    client.unary(request, PathAndQuery::from_static(path), codec).await.unwrap_err().code()
}

fn count(error: &str, method: &str, code: &str, count: usize) -> String {
    let error = if error.is_empty() { String::new() } else { format!("error_type=\"{error}\",") };
    format!(
        "{SERVER_COUNT}{{{error}rpc_method=\"{method}\",rpc_response_status_code=\"{code}\",rpc_system_name=\"grpc\"}} {count}"
    )
}

/// Returns the series of requests that were rejected because of this limit.
fn shed(limit: &str, count: usize) -> String {
    format!("fanout_server_shed_total{{fanout_limit=\"{limit}\"}} {count}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_method_and_code() {
    let mut service = Service::start_with("country-service", &["--delay", "0"], &PROMETHEUS, "serving");
    let channel = channel(&service).await;
    for _ in 0..3 {
        get_country(&channel, "GB").await.unwrap();
    }
    assert_eq!(get_country(&channel, "XX").await, Err(Code::NotFound));
    for path in ["/fanout.country.v1.CountryService/A", "/fanout.country.v1.CountryService/B", "/made.up/Method"] {
        assert_eq!(call(&channel, path).await, Code::Unimplemented);
    }
    health::check(&service.url, TIMEOUT).await.unwrap();
    // Unknown methods and health checks create no series.
    let expected = [
        count("UNIMPLEMENTED", "_OTHER", "UNIMPLEMENTED", 2),
        count("", GET_COUNTRY, "NOT_FOUND", 1),
        count("", GET_COUNTRY, "OK", 3),
    ];
    wait_for_series(&service.metrics, SERVER_COUNT, &expected);

    let ok = format!("rpc_method=\"{GET_COUNTRY}\",rpc_response_status_code=\"OK\"");
    let buckets = series(&service.metrics, "rpc_server_call_duration_seconds_bucket");
    let buckets: Vec<_> = buckets.iter().filter(|line| line.contains(&ok)).collect();
    assert_eq!(buckets.len(), 15, "{buckets:#?}");
    assert!(buckets[0].contains("le=\"0.005\"") && buckets[13].contains("le=\"10\""), "{buckets:#?}");
    assert_eq!(series(&service.metrics, "fanout_server_in_flight"), ["fanout_server_in_flight 0"]);
    assert_eq!(series(&service.metrics, "fanout_server_shed_total"), [shed("all", 0), shed("share", 0)]);
    assert!(series(&service.metrics, "target_info")[0].contains("service_name=\"country-service\""));
    for name in ["workers", "alive_tasks", "global_queue_depth", "worker_busy_time_seconds_total", "worker_parks_total"]
    {
        assert!(!series(&service.metrics, &format!("tokio_runtime_{name}")).is_empty(), "{name}");
    }
    assert!(get(service.metrics.trim_end_matches("metrics")).0.starts_with("HTTP/1.1 404 "));

    // A silent connection does not delay the end.
    let _silent = TcpStream::connect(service.metrics.trim_start_matches("http://").trim_end_matches("/metrics"));
    let begun = Instant::now();
    service.terminate();
    assert_eq!(service.wait(), Some(0));
    assert!(begun.elapsed().as_secs() < 8, "ends before the drain's 10 s are over: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_are_counted() {
    let args = ["--delay", "20s", "--max-in-flight", "1"];
    let service = Service::start_with("country-service", &args, &PROMETHEUS, "serving");
    let channel = channel(&service).await;
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { get_country(&channel, "GB").await }
    });
    wait_for_series(&service.metrics, "fanout_server_in_flight", &["fanout_server_in_flight 1".to_owned()]);
    for _ in 0..2 {
        assert_eq!(get_country(&channel, "GB").await, Err(Code::ResourceExhausted));
    }
    wait_for_series(&service.metrics, "fanout_server_shed_total", &[shed("all", 2), shed("share", 0)]);
    wait_for_series(&service.metrics, SERVER_COUNT, &[count("", GET_COUNTRY, "RESOURCE_EXHAUSTED", 2)]);
    // A caller that goes away releases its permit and is counted.
    waiting.abort();
    let expected = [count("", GET_COUNTRY, "CANCELLED", 1), count("", GET_COUNTRY, "RESOURCE_EXHAUSTED", 2)];
    wait_for_series(&service.metrics, SERVER_COUNT, &expected);
    wait_for_series(&service.metrics, "fanout_server_in_flight", &["fanout_server_in_flight 0".to_owned()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_counts_its_calls_by_backend() {
    let up = Up::start_with(&["--delay", "0"], &PROMETHEUS);
    let is_metrics_line =
        |line: &serde_json::Value| line["service"] == "gateway" && line["message"] == "metrics can be scraped";
    let line = up.wait_for_log("the URL of the gateway's metrics", is_metrics_line).await;
    let mut gateway = up.gateway().await;
    for _ in 0..2 {
        gateway.get_profile(GetProfileRequest { user_id: "ada".into(), ..Default::default() }).await.unwrap();
    }
    for (service, method) in [
        ("country-service", "fanout.country.v1.CountryService/ListCountries"),
        ("user-service", "fanout.user.v1.UserService/GetUser"),
    ] {
        let url = up.url(service);
        let (address, port) = url.trim_start_matches("http://").split_once(':').unwrap();
        let of_method = format!("{CLIENT_COUNT}{{rpc_method=\"{method}\"");
        let expected = format!(
            "{of_method},rpc_response_status_code=\"OK\",rpc_system_name=\"grpc\",server_address=\"{address}\",\
             server_port=\"{port}\"}} 2"
        );
        wait_for_series(line["url"].as_str().unwrap(), &of_method, &[expected]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_last_figures_before_the_process_ends() {
    let collector = Collector::start().await;
    let mut service = Service::start_with("country-service", &["--delay", "0"], &collector.env(), "serving");
    get_country(&channel(&service).await, "GB").await.unwrap();
    // Long before the first periodic export, which is after a minute.
    service.terminate();
    let ended = tokio::task::spawn_blocking(move || service.wait());
    assert_eq!(ended.await.unwrap(), Some(0));
    let metrics = collector.metrics("country-service");
    for name in [
        "rpc.server.call.duration",
        "fanout.server.in_flight",
        "fanout.server.shed",
        "fanout.server.cut_off",
        "tokio.runtime.workers",
    ] {
        assert!(metrics.iter().any(|metric| metric == name), "{name} in {metrics:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_of_traces_alone_causes_no_warning() {
    let collector = Collector::start_without_metrics().await;
    let mut service = Service::start_with("country-service", &["--delay", "0"], &collector.env(), "serving");
    get_country(&channel(&service).await, "GB").await.unwrap();
    let warnings = tokio::task::spawn_blocking(move || service.stop_and_count_warnings());
    assert_eq!(warnings.await.unwrap(), 0);
}
