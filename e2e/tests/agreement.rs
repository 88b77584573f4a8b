//! What `overlap` finds in the exported spans is what the gateway reports of the same request.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::time::Duration;

use e2e::{
    collector::{Collector, ExpectedSpan, RecordedSpan},
    report::call,
    up::Up,
};
use fanout_proto::gateway::v1::{FailurePolicy, FanOutReport, GetHomeCountryRequest, GetProfileRequest, Strategy};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use overlap::{Analysis, Certainty, Evidence, FanOut, Reason, Trace, text};
use tonic::Request;

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const GET_HOME_COUNTRY: &str = "fanout.gateway.v1.GatewayService/GetHomeCountry";
const GET_USER: &str = "fanout.user.v1.UserService/GetUser";
const GET_COUNTRY: &str = "fanout.country.v1.CountryService/GetCountry";
const LIST_COUNTRIES: &str = "fanout.country.v1.CountryService/ListCountries";

const STRATEGIES: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

/// What encoding, scheduling and the network may take: a fourth of one call's delay.
const CLOSE: Duration = Duration::from_millis(25);

/// Waits for the spans of a request that makes two calls, and returns them as a trace.
async fn trace(collector: &Collector, report: &FanOutReport, root: &'static str, country: &'static str) -> Trace {
    let expected: [ExpectedSpan; 7] = [
        ("gateway", root, SpanKind::Server),
        ("gateway", "fan_out", SpanKind::Internal),
        ("gateway", GET_USER, SpanKind::Client),
        ("user-service", GET_USER, SpanKind::Server),
        ("user-service", "SELECT users", SpanKind::Client),
        ("gateway", country, SpanKind::Client),
        ("country-service", country, SpanKind::Server),
    ];
    let spans = collector.trace(&report.trace_id, &expected).await;
    Trace::new(report.trace_id.parse().unwrap(), spans.iter().map(span).collect())
}

fn span(span: &RecordedSpan) -> overlap::Span {
    let trace_id = span.trace.parse().unwrap();
    let link = |id: &String| overlap::Link { trace_id, span_id: id.parse().unwrap() };
    overlap::Span {
        trace_id,
        span_id: span.id.parse().unwrap(),
        parent: span.parent.parse().ok(),
        kind: match span.kind {
            SpanKind::Unspecified => overlap::SpanKind::Unspecified,
            SpanKind::Internal => overlap::SpanKind::Internal,
            SpanKind::Server => overlap::SpanKind::Server,
            SpanKind::Client => overlap::SpanKind::Client,
            SpanKind::Producer => overlap::SpanKind::Producer,
            SpanKind::Consumer => overlap::SpanKind::Consumer,
        },
        service: span.service.as_str().into(),
        name: span.name.as_str().into(),
        start: span.start,
        end: span.end,
        error: span.failed,
        attributes: span
            .attributes
            .iter()
            .map(|(key, value)| (key.as_str().into(), overlap::Value::from(value.as_str())))
            .collect(),
        links: span.links.iter().map(link).collect(),
    }
}

/// Returns the figures of the gateway's `fan_out`, which are those of its report.
#[track_caller]
fn agreed<'a>(analysis: &'a Analysis, trace: &Trace, report: &FanOutReport) -> &'a FanOut {
    let of_gateway = |fan_out: &&FanOut| &*trace.span(fan_out.parent).name == "fan_out";
    let fan_out = analysis.fan_outs().iter().find(of_gateway).unwrap();
    let reported = [report.wall_time, report.total_time, report.saved_time, report.avoidable_time]
        .map(|time| Duration::try_from(time.unwrap()).unwrap());
    let found = [fan_out.wall, fan_out.sum, fan_out.saved, fan_out.avoidable];
    for (reported, found) in reported.into_iter().zip(found) {
        assert!(reported.abs_diff(found) < CLOSE, "{report:#?}\n{fan_out:#?}");
    }
    assert!(trace.is_complete() && trace.problems().is_empty(), "{:?}", trace.problems());
    fan_out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_analysis_agrees_with_the_gateways_report() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "100ms"], &collector.env());
    let mut gateway = up.gateway().await;
    let policy = FailurePolicy::FailFast.into();
    let mut evidence = Evidence::default();
    for strategy in STRATEGIES {
        let user_id = "ada".to_owned();
        let request = GetProfileRequest { user_id, strategy: strategy.into(), failure_policy: policy };
        let report = gateway.get_profile(request).await.unwrap().into_inner().report.unwrap();
        let trace = trace(&collector, &report, GET_PROFILE, LIST_COUNTRIES).await;
        let analysis = Analysis::of(&trace, &evidence);
        let fan_out = agreed(&analysis, &trace, &report);
        assert!(analysis.avoidable().abs_diff(fan_out.avoidable) < CLOSE);
        if strategy == Strategy::Sequential {
            let [sequence] = &fan_out.sequences[..] else { panic!("{fan_out:#?}") };
            assert_eq!((sequence.certainty, sequence.because), (Certainty::Unknown, Reason::Nothing));
            assert!(text::sequence(&trace, sequence).ends_with(", if the second does not need the first."));
        } else {
            assert_eq!(fan_out.sequences, []);
        }
        evidence.merge(analysis.evidence());
    }
    // The calls have run together by now.
    let request =
        GetProfileRequest { user_id: "ada".to_owned(), strategy: Strategy::Sequential.into(), failure_policy: policy };
    let report = gateway.get_profile(request).await.unwrap().into_inner().report.unwrap();
    let trace = trace(&collector, &report, GET_PROFILE, LIST_COUNTRIES).await;
    let analysis = Analysis::of(&trace, &evidence);
    assert_eq!(agreed(&analysis, &trace, &report).sequences[0].because, Reason::Overlapped { traces: 2 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_is_known_from_its_span() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "100ms"], &collector.env());
    let mut gateway = up.gateway().await;
    for strategy in STRATEGIES {
        let (user_id, failure_policy) = ("ada".to_owned(), FailurePolicy::FailFast.into());
        let request = GetHomeCountryRequest { user_id, strategy: strategy.into(), failure_policy };
        let report = gateway.get_home_country(request).await.unwrap().into_inner().report.unwrap();
        let trace = trace(&collector, &report, GET_HOME_COUNTRY, GET_COUNTRY).await;
        let analysis = Analysis::of(&trace, &Evidence::default());
        let fan_out = agreed(&analysis, &trace, &report);
        let [sequence] = &fan_out.sequences[..] else { panic!("{fan_out:#?}") };
        assert_eq!((sequence.certainty, sequence.because), (Certainty::Dependent, Reason::Chain));
        assert_eq!(sequence.saves, Duration::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attempts_are_one_call() {
    let collector = Collector::start().await;
    let up = Up::start_with(&["--delay", "100ms"], &collector.env());
    let (user_id, failure_policy) = ("ada".to_owned(), FailurePolicy::BestEffort.into());
    let request = GetProfileRequest { user_id, strategy: Strategy::Sequential.into(), failure_policy };
    let mut request = Request::new(request);
    request.metadata_mut().insert("baggage", "user.error-rate=1".parse().unwrap());
    let report = up.gateway().await.get_profile(request).await.unwrap().into_inner().report.unwrap();
    assert_eq!(call(&report, "user").attempts, 3);
    let attempts = [("gateway", GET_USER, SpanKind::Client), ("user-service", GET_USER, SpanKind::Server)].repeat(3);
    let others: [ExpectedSpan; 3] = [
        ("gateway", GET_PROFILE, SpanKind::Server),
        ("gateway", "fan_out", SpanKind::Internal),
        ("country-service", LIST_COUNTRIES, SpanKind::Server),
    ];
    let spans = collector.trace(&report.trace_id, &[&attempts[..], &others[..]].concat()).await;
    let trace = Trace::new(report.trace_id.parse().unwrap(), spans.iter().map(span).collect());
    let analysis = Analysis::of(&trace, &Evidence::default());
    let fan_out = agreed(&analysis, &trace, &report);
    assert_eq!(fan_out.calls.len(), 2);
    assert_eq!(fan_out.sequences[0].repeated, None);
}
