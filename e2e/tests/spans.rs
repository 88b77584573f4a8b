//! The spans that a collector receives: one trace for each request, which shows the overlap.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::collections::BTreeSet;

use e2e::{
    collector::{Collector, ExpectedSpan, RecordedSpan},
    raw_call,
    report::{self, call},
    up::Up,
};
use fanout_proto::gateway::v1::{FailurePolicy, GetProfileRequest, GetProfileResponse, Strategy};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::{Code, Request, Response, Status};

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const GET_USER: &str = "fanout.user.v1.UserService/GetUser";
const LIST_COUNTRIES: &str = "fanout.country.v1.CountryService/ListCountries";

const SERVER: ExpectedSpan = ("gateway", GET_PROFILE, SpanKind::Server);
const FAN_OUT: ExpectedSpan = ("gateway", "fan_out", SpanKind::Internal);
const USER_CLIENT: ExpectedSpan = ("gateway", GET_USER, SpanKind::Client);
const USER_SERVER: ExpectedSpan = ("user-service", GET_USER, SpanKind::Server);
const USER_DELAY: ExpectedSpan = ("user-service", "delay", SpanKind::Internal);
const SELECT: ExpectedSpan = ("user-service", "SELECT users", SpanKind::Client);
const COUNTRY_CLIENT: ExpectedSpan = ("gateway", LIST_COUNTRIES, SpanKind::Client);
const COUNTRY_SERVER: ExpectedSpan = ("country-service", LIST_COUNTRIES, SpanKind::Server);
const COUNTRY_DELAY: ExpectedSpan = ("country-service", "delay", SpanKind::Internal);

async fn get_profile(up: &Up, strategy: Strategy, baggage: &str) -> Result<Response<GetProfileResponse>, Status> {
    let (strategy, failure_policy) = (strategy.into(), FailurePolicy::FailFast.into());
    let mut request = Request::new(GetProfileRequest { user_id: "ada".into(), strategy, failure_policy });
    if !baggage.is_empty() {
        request.metadata_mut().insert("baggage", baggage.parse().unwrap());
    }
    up.gateway().await.get_profile(request).await
}

/// Returns all spans like this one.
fn all(spans: &[RecordedSpan], (service, name, kind): ExpectedSpan) -> Vec<&RecordedSpan> {
    spans.iter().filter(|span| span.service == service && span.name == name && span.kind == kind).collect()
}

/// Returns the only span like this one.
fn one(spans: &[RecordedSpan], expected: ExpectedSpan) -> &RecordedSpan {
    let found = all(spans, expected);
    assert_eq!(found.len(), 1, "{expected:?} in {spans:#?}");
    found[0]
}

/// Returns the names of the service's spans.
fn names<'a>(spans: &'a [RecordedSpan], service: &str) -> BTreeSet<&'a str> {
    spans.iter().filter(|span| span.service == service).map(|span| span.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_shows_the_overlap() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "200ms"], &collector.env());
    for (strategy, overlap) in [(Strategy::Sequential, false), (Strategy::Concurrent, true), (Strategy::Spawned, true)]
    {
        let reply = get_profile(&up, strategy, "").await.unwrap();
        let traceresponse = reply.metadata().get("traceresponse").unwrap().to_str().unwrap().to_owned();
        let report = reply.into_inner().report.unwrap();
        let parents = [
            (FAN_OUT, SERVER),
            (USER_CLIENT, FAN_OUT),
            (COUNTRY_CLIENT, FAN_OUT),
            (USER_SERVER, USER_CLIENT),
            (COUNTRY_SERVER, COUNTRY_CLIENT),
            (USER_DELAY, USER_SERVER),
            (COUNTRY_DELAY, COUNTRY_SERVER),
            (SELECT, USER_SERVER),
        ];
        let expected: Vec<_> = parents.iter().map(|(child, _)| *child).chain([SERVER]).collect();
        let spans = collector.trace(&report.trace_id, &expected).await;

        let server = one(&spans, SERVER);
        assert_eq!(traceresponse, format!("00-{}-{}-01", report.trace_id, server.id));
        assert_eq!(server.parent, "", "the caller sent no trace");
        for (child, parent) in parents {
            assert_eq!(one(&spans, child).parent, one(&spans, parent).id, "{child:?} under {parent:?}");
        }
        assert_eq!(names(&spans, "user-service"), [GET_USER, "delay", "SELECT users"].into());
        assert_eq!(names(&spans, "country-service"), [LIST_COUNTRIES, "delay"].into());
        let (user, country) = (one(&spans, USER_CLIENT), one(&spans, COUNTRY_CLIENT));
        assert_eq!(user.overlaps(country), overlap, "{strategy:?}");
        assert!(spans.iter().all(|span| !span.failed));
        check_attributes(strategy, &spans, &up);
    }
}

fn check_attributes(strategy: Strategy, spans: &[RecordedSpan], up: &Up) {
    let fan_out = one(spans, FAN_OUT);
    let name = strategy.as_str_name().trim_start_matches("STRATEGY_").to_lowercase();
    assert_eq!(fan_out.attribute("fanout.strategy"), name);
    let calls = spans.iter().filter(|span| span.service == "gateway" && span.parent == fan_out.id).count();
    assert_eq!(fan_out.attribute("fanout.width"), calls.to_string());
    let ms = |key: &str| fan_out.attribute(key).parse::<f64>().unwrap();
    let (wall, saved, avoidable) = (ms("fanout.wall_ms"), ms("fanout.saved_ms"), ms("fanout.avoidable_ms"));
    if strategy == Strategy::Sequential {
        assert!(wall >= 400.0 && saved < 0.1 * wall && avoidable >= 150.0, "{wall} {saved} {avoidable}");
    } else {
        assert!(wall >= 200.0 && saved > 100.0, "{wall} {saved} {avoidable}");
    }
    let user_address = up.url("user-service");
    for span in [one(spans, USER_CLIENT), one(spans, USER_SERVER)] {
        assert_eq!(span.attribute("rpc.system.name"), "grpc");
        assert_eq!(span.attribute("rpc.method"), GET_USER);
        assert_eq!(span.attribute("rpc.response.status_code"), "OK");
        let address = format!("http://{}:{}", span.attribute("server.address"), span.attribute("server.port"));
        assert_eq!(address, user_address);
        for old in ["rpc.system", "rpc.service", "rpc.grpc.status_code", "net.peer.name", "error.type"] {
            assert_eq!(span.attribute(old), "", "{old}");
        }
    }
    let select = one(spans, SELECT);
    assert_eq!(select.attribute("db.system.name"), "sqlite");
    assert_eq!(select.attribute("db.operation.name"), "SELECT");
    assert_eq!(select.attribute("db.collection.name"), "users");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_is_continued() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "0"], &collector.env());
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let mut request = Request::new(GetProfileRequest { user_id: "ada".into(), ..GetProfileRequest::default() });
    request.metadata_mut().insert("traceparent", format!("00-{trace}-{parent}-01").parse().unwrap());
    let reply = up.gateway().await.get_profile(request).await.unwrap();
    assert_eq!(reply.into_inner().report.unwrap().trace_id, trace);
    let expected = [SERVER, FAN_OUT, USER_CLIENT, USER_SERVER, SELECT, COUNTRY_CLIENT, COUNTRY_SERVER];
    let spans = collector.trace(trace, &expected).await;
    assert_eq!(one(&spans, SERVER).parent, parent);
    assert!(spans.iter().all(|span| span.name != "delay"), "without a delay there is no span for it: {spans:#?}");
    let line =
        up.wait_for_log("the request's line", |line| line["trace_id"] == trace && line["service"] == "gateway").await;
    assert_eq!((line["code"].as_str(), line["method"].as_str()), (Some("OK"), Some(GET_PROFILE)));
}

/// Returns the trace's id and its flags in a reply.
fn trace_and_flags(reply: &Response<GetProfileResponse>) -> (String, String) {
    let header = reply.metadata().get("traceresponse").unwrap().to_str().unwrap();
    let parts: Vec<_> = header.split('-').collect();
    (parts[1].to_owned(), parts[3].to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_exported_by_all_services_or_by_none() {
    let collector = Collector::start().await;
    let mut env = collector.env().to_vec();
    env.extend([("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]);
    let mut up = Up::start_with(&["--delay", "0"], &env);
    let (mut exported, mut left_out) = (Vec::new(), Vec::new());
    for strategy in [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned].repeat(12) {
        let reply = get_profile(&up, strategy, "").await.unwrap();
        let (trace, flags) = trace_and_flags(&reply);
        assert_eq!(reply.into_inner().report.unwrap().trace_id, trace);
        // OpenTelemetry's sampler by ratio takes the lower half of the ids' last 63 bits.
        let is_below = u64::from_str_radix(&trace[16..], 16).unwrap() >> 1 < 1 << 62;
        assert_eq!(flags, if is_below { "01" } else { "00" }, "{trace}");
        if is_below { &mut exported } else { &mut left_out }.push(trace);
    }
    // One in four billion runs has none of either kind.
    assert!(!exported.is_empty() && !left_out.is_empty(), "{exported:?} {left_out:?}");
    // A caller's own decision counts more than the ratio.
    for (trace, flags) in [("0af7651916cd43dd0448eb211c80319c", "00"), ("0af7651916cd43ddf448eb211c80319c", "01")] {
        let mut request = Request::new(GetProfileRequest { user_id: "ada".into(), ..GetProfileRequest::default() });
        request.metadata_mut().insert("traceparent", format!("00-{trace}-b7ad6b7169203331-{flags}").parse().unwrap());
        let reply = up.gateway().await.get_profile(request).await.unwrap();
        assert_eq!(trace_and_flags(&reply), (trace.to_owned(), flags.to_owned()));
        if flags == "01" { &mut exported } else { &mut left_out }.push(trace.to_owned());
    }
    for trace in &exported {
        let expected = [SERVER, FAN_OUT, USER_CLIENT, USER_SERVER, SELECT, COUNTRY_CLIENT, COUNTRY_SERVER];
        collector.trace(trace, &expected).await;
    }
    for trace in exported.iter().chain(&left_out) {
        let what = format!("the gateway's line for {trace}");
        up.wait_for_log(&what, |line| line["trace_id"] == **trace && line["service"] == "gateway").await;
    }
    // At its end, each service exports what it still has.
    up.stop();
    for trace in &left_out {
        assert!(collector.spans(trace).is_empty(), "{trace}: {:#?}", collector.spans(trace));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sibling_stops_the_other_call_at_its_backend() {
    let collector = Collector::start().await;
    let mut env = collector.env().to_vec();
    env.push(("GATEWAY_RETRIES", "0"));
    let up = Up::start_with(&["--delay", "20s"], &env);
    for strategy in [Strategy::Concurrent, Strategy::Spawned] {
        // Both calls have arrived long before the first one fails.
        let status = get_profile(&up, strategy, "user.delay=1s,user.error-rate=1").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let user = [SERVER, FAN_OUT, USER_CLIENT, USER_SERVER, USER_DELAY];
        let expected = [&user[..], &[COUNTRY_CLIENT, COUNTRY_SERVER, COUNTRY_DELAY]].concat();
        let spans = collector.trace(&report::of_failure(&status).trace_id, &expected).await;
        let user = one(&spans, USER_SERVER);
        assert_eq!((user.attribute("rpc.response.status_code"), user.failed), ("UNAVAILABLE", true));
        for country in [one(&spans, COUNTRY_CLIENT), one(&spans, COUNTRY_SERVER)] {
            assert_eq!(country.attribute("rpc.response.status_code"), "CANCELLED", "{country:#?}");
        }
        let delay = one(&spans, COUNTRY_DELAY);
        assert!(delay.end - delay.start < 10_000_000_000, "the delay was cancelled: {delay:#?}");
        assert_eq!(delay.attribute("fanout.cancelled"), "true");
    }
    // The sequential strategy never makes the second call.
    let status = get_profile(&up, Strategy::Sequential, "user.delay=0,user.error-rate=1").await.unwrap_err();
    let trace = report::of_failure(&status).trace_id;
    let spans = collector.trace(&trace, &[SERVER, FAN_OUT, USER_CLIENT, USER_SERVER]).await;
    assert!(spans.iter().all(|span| span.service != "country-service"), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_before_its_message_is_complete_is_not_a_failure() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "0"], &collector.env());
    let stream = tokio::net::TcpStream::connect(up.url("gateway").trim_start_matches("http://")).await.unwrap();
    let (mut caller, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    let trace = "5af7651916cd43dd8448eb211c80319c";
    let request = http::Request::post(format!("http://gateway/{GET_PROFILE}"))
        .header("content-type", "application/grpc")
        .header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    let _reply = caller.send_request(request.body(()).unwrap(), false).unwrap();
    // The gateway has the headers when it has answered the ping.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    connection.abort();
    let spans = collector.trace(trace, &[SERVER]).await;
    let request = one(&spans, SERVER);
    assert_eq!((request.attribute("rpc.response.status_code"), request.failed), ("CANCELLED", false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_is_a_span_with_its_number() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "0"], &collector.env());
    let status = get_profile(&up, Strategy::Sequential, "user.error-rate=1").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let attempts = [USER_CLIENT, USER_SERVER].repeat(3);
    let expected = [&[SERVER, FAN_OUT], &attempts[..]].concat();
    let spans = collector.trace(&report::of_failure(&status).trace_id, &expected).await;
    let mut attempts = all(&spans, USER_CLIENT);
    attempts.sort_by_key(|span| span.start);
    assert_eq!(attempts.iter().map(|span| span.attribute("fanout.attempt")).collect::<Vec<_>>(), ["1", "2", "3"]);
    for (attempt, next) in attempts.iter().zip(&attempts[1..]) {
        assert!(attempt.end <= next.start, "one after another: {attempts:#?}");
    }
    for attempt in attempts {
        assert_eq!(attempt.attribute("network.peer.address"), "127.0.0.1");
        assert!(spans.iter().any(|span| span.kind == SpanKind::Server && span.parent == attempt.id), "{attempt:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hedge_is_an_attempt_and_its_loser_is_cancelled_at_the_backend() {
    let collector = Collector::start().await;
    let mut env = collector.env().to_vec();
    env.push(("GATEWAY_HEDGE", "1s"));
    let up = Up::start_with(&["--delay", "0"], &env);
    // Both attempts take equally long, so the first wins: it is a second ahead.
    let reply = get_profile(&up, Strategy::Concurrent, "user.delay=3s").await.unwrap();
    let report = reply.into_inner().report.unwrap();
    let of = |name| {
        let call = call(&report, name);
        (call.attempts, call.hedges, call.hedge_won)
    };
    assert_eq!((of("user"), of("country")), ((2, 1, false), (1, 0, false)));
    let spans = collector.trace(&report.trace_id, &[USER_CLIENT, USER_SERVER].repeat(2)).await;
    let of = |span: &RecordedSpan| {
        let attribute = |name| span.attribute(name).to_owned();
        (attribute("fanout.attempt"), attribute("fanout.hedge"), attribute("rpc.response.status_code"))
    };
    let attempts: BTreeSet<_> = all(&spans, USER_CLIENT).into_iter().map(of).collect();
    let expected = [("1", "won", "OK"), ("2", "lost", "CANCELLED")];
    assert_eq!(attempts, expected.map(|(number, hedge, code)| (number.into(), hedge.into(), code.into())).into());
    let ends: BTreeSet<_> =
        all(&spans, USER_SERVER).into_iter().map(|span| span.attribute("rpc.response.status_code")).collect();
    assert_eq!(ends, ["CANCELLED", "OK"].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coalesced_call_links_to_the_shared_call() {
    let collector = Collector::start().await;
    let mut env = collector.env().to_vec();
    env.push(("GATEWAY_COALESCE", "country"));
    // All three requests have arrived long before the first reply.
    let up = Up::start_with(&["--delay", "2s"], &env);
    let replies = futures::future::join_all((0..3).map(|_| get_profile(&up, Strategy::Concurrent, ""))).await;
    let reports: Vec<_> = replies.into_iter().map(|reply| reply.unwrap().into_inner().report.unwrap()).collect();
    let (mut flights, mut links) = (Vec::new(), Vec::new());
    for report in &reports {
        // Of the requests, one makes the call and the others join it.
        let shares = call(report, "country").attempts == 0;
        let name = if shares { "coalesced" } else { "shared_call" };
        let spans = collector.trace(&report.trace_id, &[("gateway", name, SpanKind::Internal)]).await;
        let span = spans.into_iter().find(|span| span.name == name).unwrap();
        if shares {
            links.push(span.links);
        } else {
            flights.push(span.id);
        }
    }
    assert_eq!(flights.len(), 1);
    assert_eq!(links, [flights.clone(), flights], "two calls joined the one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_call_on_every_hop() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "20s"], &collector.env());
    for (number, strategy) in [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned].into_iter().enumerate() {
        let request =
            GetProfileRequest { user_id: "ada".into(), strategy: strategy.into(), ..GetProfileRequest::default() };
        let trace = format!("{number}af7651916cd43dd8448eb211c80319c");
        let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
        let headers = [("grpc-timeout", "1S"), ("traceparent", &*traceparent)];
        let begun = std::time::Instant::now();
        let status = raw_call::unary_status(&up.url("gateway"), GET_PROFILE, &headers, &request).await;
        let waited = begun.elapsed().as_millis();
        assert_eq!(status, "4", "{strategy:?} ends with DEADLINE_EXCEEDED");
        // About a second, of which the gateway reserves 20 ms; the backends would take 20 s.
        assert!((950..10_000).contains(&waited), "{strategy:?}: {waited} ms");
        let mut expected = vec![SERVER, FAN_OUT, USER_CLIENT, USER_SERVER, USER_DELAY];
        if strategy != Strategy::Sequential {
            expected.extend([COUNTRY_CLIENT, COUNTRY_SERVER, COUNTRY_DELAY]);
        }
        let spans = collector.trace(&trace, &expected).await;
        for span in spans.iter().filter(|span| span.kind == SpanKind::Server || span.kind == SpanKind::Client) {
            assert_eq!(span.attribute("rpc.response.status_code"), "DEADLINE_EXCEEDED", "{span:#?}");
            assert_eq!((span.attribute("error.type"), span.failed), ("DEADLINE_EXCEEDED", true));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_collector_fails_no_request() {
    // Nothing listens on the discard port of the loopback.
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_BSP_SCHEDULE_DELAY", "10")];
    let mut up = Up::start_with(&["--delay", "0"], &env);
    for _ in 0..200 {
        get_profile(&up, Strategy::Concurrent, "").await.unwrap();
    }
    let dropped = |line: &serde_json::Value| {
        line["service"] == "gateway" && line["message"] == "spans are dropped: the collector does not take them"
    };
    up.wait_for_log("a warning that spans are dropped", dropped).await;
    for _ in 0..200 {
        get_profile(&up, Strategy::Concurrent, "").await.unwrap();
    }
    assert_eq!(up.stop(), Some(0));
    assert_eq!(up.count(dropped), 1, "one warning in all, not one for each batch");
}
