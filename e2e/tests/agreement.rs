//! What `overlap` finds in the exported spans is what the gateway reports of the same request.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::time::Duration;

use e2e::{
    collector::{Collector, ExpectedSpan},
    report::call,
    up::Up,
};
use fanout_proto::gateway::v1::{FailurePolicy, FanOutReport, GetHomeCountryRequest, GetProfileRequest, Strategy};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use overlap::{Analysis, Certainty, Evidence, FanOut, Reason, SpanId, Trace, TraceId, split, text};
use tonic::Request;
use trace_formats::to_overlap;

const GET_PROFILE: &str = "fanout.gateway.v1.GatewayService/GetProfile";
const GET_HOME_COUNTRY: &str = "fanout.gateway.v1.GatewayService/GetHomeCountry";
const GET_USER: &str = "fanout.user.v1.UserService/GetUser";
const GET_COUNTRY: &str = "fanout.country.v1.CountryService/GetCountry";
const LIST_COUNTRIES: &str = "fanout.country.v1.CountryService/ListCountries";

const STRATEGIES: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

/// How long each call takes at least.
const DELAY: Duration = Duration::from_millis(200);

/// By how much the spans may differ from the report at most. A figure that is another one's differs by a [`DELAY`].
const MAX_MARGIN: Duration = Duration::from_millis(100);

/// How the calls of a fan-out ran.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    InTurn,
    Together,
}

fn start(collector: &Collector) -> Up {
    Up::start_with(&["--delay", &format!("{}ms", DELAY.as_millis())], &collector.env())
}

/// Returns the trace of a request once it has these spans.
async fn trace(collector: &Collector, report: &FanOutReport, expected: &[ExpectedSpan]) -> Trace {
    collector.trace(&report.trace_id, expected).await;
    let id: TraceId = report.trace_id.parse().unwrap();
    split(to_overlap(&collector.messages())).into_iter().find(|trace| trace.id() == id).unwrap()
}

/// Returns the spans of a request that makes two calls.
fn two_calls(root: &'static str, country: &'static str) -> [ExpectedSpan; 7] {
    [
        ("gateway", root, SpanKind::Server),
        ("gateway", "fan_out", SpanKind::Internal),
        ("gateway", GET_USER, SpanKind::Client),
        ("user-service", GET_USER, SpanKind::Server),
        ("user-service", "SELECT users", SpanKind::Client),
        ("gateway", country, SpanKind::Client),
        ("country-service", country, SpanKind::Server),
    ]
}

/// Returns by how much the spans may differ from the gateway's report of the same request.
///
/// The report times a call from its first poll to its end, and a span times an attempt. Both are within `fan_out`, so the
/// report can have no more on top than the time of that span in which the call's spans did not run. What a span may have on
/// top is at the wire: the time in which an attempt was sent, read and answered, which is the client's span without the
/// server's. It is never more than [`MAX_MARGIN`], with which everything would agree.
fn margin(trace: &Trace, fan_out: &FanOut, ran: Ran) -> Duration {
    let outer = trace.span(fan_out.parent).duration();
    let around = match ran {
        Ran::InTurn => outer.saturating_sub(fan_out.sum),
        Ran::Together => (outer * u32::try_from(fan_out.calls.len()).unwrap()).saturating_sub(fan_out.sum),
    };
    let clients = trace.indices().filter(|index| trace.parent(*index) == Some(fan_out.parent));
    let on_the_wire = clients.map(|client| {
        let servers = trace.children(client).iter().map(|server| trace.span(*server).duration());
        trace.span(client).duration().saturating_sub(servers.sum())
    });
    (around + on_the_wire.sum::<Duration>()).min(MAX_MARGIN)
}

/// Returns the figures of the gateway's `fan_out`, which are those of its report.
#[track_caller]
fn agreed<'a>(analysis: &'a Analysis, trace: &Trace, report: &FanOutReport, ran: Ran) -> &'a FanOut {
    let of_gateway = |fan_out: &&FanOut| &*trace.span(fan_out.parent).name == "fan_out";
    let fan_out = analysis.fan_outs().iter().find(of_gateway).unwrap();
    let reported = [report.wall_time, report.total_time, report.saved_time, report.avoidable_time]
        .map(|time| Duration::try_from(time.unwrap()).unwrap());
    let found = [fan_out.wall, fan_out.sum, fan_out.saved, fan_out.avoidable];
    let margin = margin(trace, fan_out, ran);
    for (reported, found) in reported.into_iter().zip(found) {
        assert!(reported.abs_diff(found) <= margin, "within {margin:?}: {report:#?}\n{fan_out:#?}");
    }
    // Of all that the request did, only the fan-out can be joined.
    assert_eq!(analysis.avoidable(), fan_out.avoidable);
    assert!(trace.is_complete() && trace.problems().is_empty(), "{:?}", trace.problems());
    fan_out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_analysis_agrees_with_the_gateways_report() {
    let collector = Collector::start().await;
    let up = start(&collector);
    let mut gateway = up.gateway().await;
    let policy = FailurePolicy::FailFast.into();
    let mut evidence = Evidence::default();
    for strategy in STRATEGIES {
        let user_id = "ada".to_owned();
        let request = GetProfileRequest { user_id, strategy: strategy.into(), failure_policy: policy };
        let report = gateway.get_profile(request).await.unwrap().into_inner().report.unwrap();
        let trace = trace(&collector, &report, &two_calls(GET_PROFILE, LIST_COUNTRIES)).await;
        let analysis = Analysis::of(&trace, &evidence);
        let ran = if strategy == Strategy::Sequential { Ran::InTurn } else { Ran::Together };
        let fan_out = agreed(&analysis, &trace, &report, ran);
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
    let trace = trace(&collector, &report, &two_calls(GET_PROFILE, LIST_COUNTRIES)).await;
    let analysis = Analysis::of(&trace, &evidence);
    assert_eq!(agreed(&analysis, &trace, &report, Ran::InTurn).sequences[0].because, Reason::Overlapped { traces: 2 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_is_known_from_its_span() {
    let collector = Collector::start().await;
    let up = start(&collector);
    let mut gateway = up.gateway().await;
    for strategy in STRATEGIES {
        let (user_id, failure_policy) = ("ada".to_owned(), FailurePolicy::FailFast.into());
        let request = GetHomeCountryRequest { user_id, strategy: strategy.into(), failure_policy };
        let report = gateway.get_home_country(request).await.unwrap().into_inner().report.unwrap();
        let trace = trace(&collector, &report, &two_calls(GET_HOME_COUNTRY, GET_COUNTRY)).await;
        let analysis = Analysis::of(&trace, &Evidence::default());
        let fan_out = agreed(&analysis, &trace, &report, Ran::InTurn);
        let [sequence] = &fan_out.sequences[..] else { panic!("{fan_out:#?}") };
        assert_eq!((sequence.certainty, sequence.because), (Certainty::Dependent, Reason::Chain));
        assert_eq!(sequence.saves, Duration::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attempts_are_one_call() {
    let collector = Collector::start().await;
    let up = start(&collector);
    let (user_id, failure_policy) = ("ada".to_owned(), FailurePolicy::BestEffort.into());
    let request = GetProfileRequest { user_id, strategy: Strategy::Sequential.into(), failure_policy };
    let mut request = Request::new(request);
    request.metadata_mut().insert("baggage", "user.error-rate=1".parse().unwrap());
    let report = up.gateway().await.get_profile(request).await.unwrap().into_inner().report.unwrap();
    assert_eq!(call(&report, "user").attempts, 3);
    let attempts = [("gateway", GET_USER, SpanKind::Client), ("user-service", GET_USER, SpanKind::Server)].repeat(3);
    let others: [ExpectedSpan; 4] = [
        ("gateway", GET_PROFILE, SpanKind::Server),
        ("gateway", "fan_out", SpanKind::Internal),
        ("gateway", LIST_COUNTRIES, SpanKind::Client),
        ("country-service", LIST_COUNTRIES, SpanKind::Server),
    ];
    let trace = trace(&collector, &report, &[&attempts[..], &others[..]].concat()).await;
    let analysis = Analysis::of(&trace, &Evidence::default());
    let fan_out = agreed(&analysis, &trace, &report, Ran::InTurn);
    assert_eq!(fan_out.calls.len(), 2);
    assert_eq!(fan_out.sequences[0].repeated, None);
}

#[test]
fn spans_that_leave_much_time_do_not_agree_with_everything() {
    let span = |number: u8, parent: Option<u8>, kind, end_ms: u64| overlap::Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([number; 8]),
        parent: parent.map(|parent| SpanId([parent; 8])),
        kind,
        service: "gateway".into(),
        name: "call".into(),
        start: 0,
        end: end_ms * 1_000_000,
        error: false,
        attributes: Vec::new(),
        links: Vec::new(),
    };
    let margin_of = |outer, client, server| {
        let (outer, client) =
            (span(1, None, overlap::SpanKind::Internal, outer), span(2, Some(1), overlap::SpanKind::Client, client));
        let server = span(3, Some(2), overlap::SpanKind::Server, server);
        let trace = Trace::new(TraceId([1; 16]), vec![outer, client, server]);
        let analysis = Analysis::of(&trace, &Evidence::default());
        margin(&trace, &analysis.fan_outs()[0], Ran::InTurn)
    };
    assert_eq!(margin_of(207, 205, 201), Duration::from_millis(2 + 4));
    assert_eq!(margin_of(900, 205, 201), MAX_MARGIN);
    assert_eq!(margin_of(900, 900, 201), MAX_MARGIN);
    assert!(MAX_MARGIN < DELAY);
}
