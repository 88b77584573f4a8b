//! Every strategy under every failure policy, against the real services: the reply, the report, and the times in
//! proportion.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::time::{Duration, Instant};

use e2e::{
    backends::Backends,
    connect,
    report::{self, call},
    service::Service,
    up::Up,
};
use fanout_proto::gateway::v1::{
    CallReport, CallState, FailurePolicy, FanOutReport, GetHomeCountryRequest, GetProfileRequest, Strategy,
    StreamUsersRequest, StreamUsersResponse, gateway_service_client::GatewayServiceClient,
    stream_users_response::Content,
};
use futures::future::join_all;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const ALL: [Strategy; 3] = [Strategy::Sequential, Strategy::Concurrent, Strategy::Spawned];

fn profile(user_id: &str, strategy: Strategy, policy: FailurePolicy) -> GetProfileRequest {
    GetProfileRequest { user_id: user_id.into(), strategy: strategy.into(), failure_policy: policy.into() }
}

fn with_baggage<T>(message: T, baggage: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("baggage", baggage.parse().unwrap());
    request
}

fn state(report: &FanOutReport, name: &str) -> CallState {
    call(report, name).state()
}

fn ms(duration: Option<prost_types::Duration>) -> f64 {
    Duration::try_from(duration.unwrap()).unwrap().as_secs_f64() * 1e3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_turn_is_the_sum_and_together_is_the_slowest() {
    let up = Up::start(&["--delay", "0"]);
    let mut gateway = up.gateway().await;
    for strategy in ALL {
        let request = profile("ada", strategy, FailurePolicy::FailFast);
        let reply = gateway.get_profile(with_baggage(request, "user.delay=600ms,country.delay=400ms")).await.unwrap();
        let reply = reply.into_inner();
        assert_eq!(reply.user.unwrap().country_code, "GB");
        assert_eq!(reply.country_list.unwrap().countries.len(), 249);
        let report = reply.report.unwrap();
        assert_eq!(report.strategy(), strategy);
        let (wall, total) = (ms(report.wall_time), ms(report.total_time));
        let (saved, avoidable) = (ms(report.saved_time), ms(report.avoidable_time));
        assert!(total >= 1000.0, "{total}");
        if strategy == Strategy::Sequential {
            assert!(wall >= total * 0.99 && saved < total * 0.01, "{wall} of {total}");
            assert!((0.3..0.5).contains(&(avoidable / wall)), "{avoidable} of {wall}");
            assert!(call(&report, "country").critical, "the last one");
        } else {
            assert!(wall < total * 0.8 && saved > total * 0.2, "{wall} of {total}");
            assert!(avoidable < wall * 0.2, "{avoidable} of {wall}");
            assert!(!call(&report, "country").critical, "the user takes longer");
        }
        assert!(report.calls.iter().all(|call| call.attempts == 1), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fail_fast_answers_with_the_call_that_failed() {
    let up = Up::start(&["--delay", "20s"]);
    let mut gateway = up.gateway().await;
    for strategy in ALL {
        let begun = Instant::now();
        let request = profile("nobody", strategy, FailurePolicy::FailFast);
        let status = gateway.get_profile(with_baggage(request, "user.delay=50ms")).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10), "does not wait for the country service's 20 s");
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        assert!(status.message().contains("nobody"), "{}", status.message());
        assert_eq!(status.get_details_resource_info().unwrap().resource_name, "nobody");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["backend"], "user", "{info:?}");
        let report = report::of_failure(&status);
        let other = if strategy == Strategy::Sequential { CallState::Skipped } else { CallState::Cancelled };
        let (user, country) = (call(&report, "user"), call(&report, "country"));
        assert_eq!((user.state(), country.state()), (CallState::Failed, other), "{strategy:?}");
        assert_eq!(user.error.as_ref().unwrap().code, i32::from(Code::NotFound));
        assert_eq!(country.duration.is_none(), strategy == Strategy::Sequential);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn best_effort_answers_with_what_came() {
    // The gateway's deadline, not the caller's: with that tonic's `Channel` would start a timer of its own.
    let up = Up::start_with(&["--delay", "10ms"], &[("GATEWAY_DEADLINE", "2s")]);
    let mut gateway = up.gateway().await;
    for strategy in ALL {
        let request = profile("nobody", strategy, FailurePolicy::BestEffort);
        let reply = gateway.get_profile(request).await.unwrap().into_inner();
        assert_eq!(reply.user, None);
        assert_eq!(reply.country_list.unwrap().countries.len(), 249);
        let report = reply.report.unwrap();
        let (user, country) = (call(&report, "user"), call(&report, "country"));
        assert_eq!((user.state(), country.state()), (CallState::Failed, CallState::Ok), "{strategy:?}");
        assert_eq!(user.error.as_ref().unwrap().code, i32::from(Code::NotFound));

        // A late reply counts as missing, and the rest still arrives in time.
        let request =
            with_baggage(profile("ada", strategy, FailurePolicy::BestEffort), "user.delay=10ms,country.delay=20s");
        let reply = gateway.get_profile(request).await.unwrap().into_inner();
        assert_eq!((reply.user.unwrap().id.as_str(), reply.country_list), ("ada", None));
        let report = reply.report.unwrap();
        let (user, country) = (call(&report, "user"), call(&report, "country"));
        assert_eq!((user.state(), country.state()), (CallState::Ok, CallState::Failed), "{strategy:?}");
        assert_eq!(country.error.as_ref().unwrap().code, i32::from(Code::DeadlineExceeded));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_takes_the_sum_whatever_the_strategy() {
    let up = Up::start(&["--delay", "200ms"]);
    let mut gateway = up.gateway().await;
    let ask = |user_id: &str, strategy: Strategy, policy: FailurePolicy| GetHomeCountryRequest {
        user_id: user_id.into(),
        strategy: strategy.into(),
        failure_policy: policy.into(),
    };
    for strategy in ALL {
        let request = ask("grace", strategy, FailurePolicy::FailFast);
        let reply = gateway.get_home_country(request).await.unwrap().into_inner();
        assert_eq!((reply.user.unwrap().id.as_str(), reply.country.unwrap().code.as_str()), ("grace", "US"));
        let report = reply.report.unwrap();
        let (wall, avoidable) = (ms(report.wall_time), ms(report.avoidable_time));
        assert!(wall >= 400.0 && avoidable < wall * 0.25, "{strategy:?}: {report:?}");

        let request = ask("nobody", strategy, FailurePolicy::BestEffort);
        let reply = gateway.get_home_country(request).await.unwrap().into_inner();
        assert_eq!((reply.user, reply.country), (None, None));
        let report = reply.report.unwrap();
        let states = (state(&report, "user"), state(&report, "country"));
        assert_eq!(states, (CallState::Failed, CallState::Skipped), "{strategy:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_callers_of_a_sequential_handler_do_not_wait_for_each_other() {
    let up = Up::start(&["--delay", "500ms"]);
    let (mut one, mut two) = (up.gateway().await, up.gateway().await);
    let request = || profile("ada", Strategy::Sequential, FailurePolicy::FailFast);
    let begun = Instant::now();
    let (one, two) = futures::join!(one.get_profile(request()), two.get_profile(request()));
    let both = begun.elapsed().as_secs_f64() * 1e3;
    for reply in [one, two] {
        let wall = ms(reply.unwrap().into_inner().report.unwrap().wall_time);
        assert!(wall >= 1000.0 && both < 1.5 * wall, "{wall} ms each, {both} ms both");
    }
}

async fn stream(up: &Up, request: StreamUsersRequest) -> (Vec<StreamUsersResponse>, Option<Status>) {
    let mut stream = up.gateway().await.stream_users(request).await.unwrap().into_inner();
    let mut messages = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(status) => return (messages, Some(status)),
        }
    }
}

/// Returns the largest number of calls that ran at the same time, according to the report.
fn most_at_once(report: &FanOutReport) -> usize {
    let time = |call: &CallReport| (ms(call.start), ms(call.start) + ms(call.duration));
    let times: Vec<_> = report.calls.iter().map(time).collect();
    times.iter().map(|(start, _)| times.iter().filter(|(from, to)| from <= start && start < to).count()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_as_wide_as_asked_for() {
    let up = Up::start(&["--delay", "50ms"]);
    let user_ids: Vec<String> = ["ada", "grace", "alan"].iter().cycle().take(24).map(ToString::to_string).collect();
    for (strategy, asked, most) in
        [(Strategy::Sequential, 8, 1), (Strategy::Concurrent, 6, 6), (Strategy::Spawned, 6, 6)]
    {
        let request = StreamUsersRequest {
            user_ids: user_ids.clone(),
            max_in_flight: asked,
            strategy: strategy.into(),
            ..StreamUsersRequest::default()
        };
        let (mut messages, error) = stream(&up, request).await;
        assert!(error.is_none(), "{error:?}");
        let Some(Content::Report(report)) = messages.pop().unwrap().content else { panic!("the report comes last") };
        let mut answered: Vec<String> = messages.iter().map(|message| message.user_id.clone()).collect();
        let mut asked_for = user_ids.clone();
        answered.sort();
        asked_for.sort();
        assert_eq!(answered, asked_for, "a reply for each time that an id was named");
        for message in messages {
            assert!(matches!(message.content, Some(Content::User(user)) if user.id == message.user_id));
        }
        assert_eq!(most_at_once(&report), most, "{strategy:?}");
        assert!(ms(report.wall_time) * f64::from(u8::try_from(most).unwrap()) >= ms(report.total_time) * 0.99);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_or_ends_with_a_failure_as_asked() {
    let up = Up::start(&["--delay", "20ms"]);
    for strategy in ALL {
        let request = |failure_policy: FailurePolicy| StreamUsersRequest {
            user_ids: ["ada", "nobody", "grace"].map(str::to_owned).to_vec(),
            max_in_flight: 1,
            strategy: strategy.into(),
            failure_policy: failure_policy.into(),
        };
        let (messages, error) = stream(&up, request(FailurePolicy::BestEffort)).await;
        assert!(error.is_none(), "{error:?}");
        let kinds: Vec<_> = messages
            .iter()
            .map(|message| match message.content.as_ref().unwrap() {
                Content::User(_) => "user",
                Content::Error(status) if status.code == i32::from(Code::NotFound) => "not found",
                Content::Error(_) => "another error",
                Content::Report(_) => "report",
            })
            .collect();
        assert_eq!(kinds, ["user", "not found", "user", "report"], "{strategy:?}");

        let (messages, error) = stream(&up, request(FailurePolicy::FailFast)).await;
        assert_eq!(messages.len(), 1, "ada alone: {messages:?}");
        let error = error.unwrap();
        assert_eq!(error.code(), Code::NotFound);
        let report = report::of_failure(&error);
        let states = ["ada", "nobody", "grace"].map(|user_id| state(&report, user_id));
        assert_eq!(states, [CallState::Ok, CallState::Failed, CallState::Skipped]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_counts_as_a_request_for_each_user() {
    let limit = [("GATEWAY_RATE_LIMIT", "1/s"), ("GATEWAY_RATE_LIMIT_BURST", "50")];
    let up = Up::start_with(&["--delay", "0"], &limit);
    let request = || StreamUsersRequest { user_ids: vec!["ada".to_owned(); 40], ..StreamUsersRequest::default() };
    let (messages, error) = stream(&up, request()).await;
    assert_eq!((messages.len(), error.map(|status| status.code())), (41, None));
    let status = up.gateway().await.stream_users(request()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.metadata["rate_limit"]), ("RATE_LIMIT_EXCEEDED", "1/s"));
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(30), "{wait:?}: 30 are missing at most");
    // What is left is enough for others.
    up.gateway().await.get_profile(GetProfileRequest { user_id: "ada".into(), ..Default::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_streams_than_their_calls_may_run_all_end() {
    const STREAMS: usize = 200;
    let up = Up::start(&["--delay", "20ms"]);
    let request = || StreamUsersRequest { user_ids: vec!["ada".to_owned(); 8], ..StreamUsersRequest::default() };
    let ended = join_all((0..STREAMS).map(|_| stream(&up, request()))).await;
    for (messages, error) in ended {
        assert_eq!((messages.len(), error.map(|status| status.code())), (9, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_too_long_for_a_trailer_names_the_failure() {
    let up = Up::start(&["--delay", "0"]);
    let mut user_ids = vec!["ada".to_owned(); 999];
    user_ids.push("nobody".to_owned());
    let request =
        StreamUsersRequest { user_ids, strategy: Strategy::Sequential.into(), ..StreamUsersRequest::default() };
    let (messages, error) = stream(&up, request).await;
    assert_eq!(messages.len(), 999);
    let status = error.unwrap();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    let report = report::of_failure(&status);
    let calls: Vec<_> = report.calls.iter().map(|call| (call.name.as_str(), call.state())).collect();
    assert_eq!(calls, [("nobody", CallState::Failed)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_gone_is_named() {
    let backends = Backends::start_except(&["user-service"]);
    let backend_args = backends.gateway_args();
    // Nothing listens on the discard port of the loopback.
    let mut args = vec!["--user-service", "http://127.0.0.1:9"];
    args.extend(backend_args.iter().map(String::as_str));
    let gateway = Service::start("gateway", &args, "waiting for a service");
    let mut gateway = GatewayServiceClient::new(connect(&gateway.url).await);
    for strategy in ALL {
        let request = profile("ada", strategy, FailurePolicy::FailFast);
        let status = gateway.get_profile(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let named = "the user service at http://127.0.0.1:9 is unreachable";
        assert!(status.message().starts_with(named), "{}", status.message());
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["backend"].as_str()), ("BACKEND_UNREACHABLE", "user"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_config_bounds_the_calls_of_one_method() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("service-config.json");
    let get_user = r#"{"service": "fanout.user.v1.UserService", "method": "GetUser"}"#;
    std::fs::write(&file, format!(r#"{{"methodConfig": [{{"name": [{get_user}], "timeout": "0.2s"}}]}}"#)).unwrap();
    let up = Up::start_with(&["--delay", "0"], &[("GATEWAY_SERVICE_CONFIG", file.to_str().unwrap())]);
    // The country service takes longer than the user service's timeout.
    let slow = |policy| {
        let baggage = "user.delay=20s,country.delay=400ms";
        with_baggage(profile("ada", Strategy::Concurrent, policy), baggage)
    };
    let begun = Instant::now();
    let status = up.gateway().await.get_profile(slow(FailurePolicy::FailFast)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    // By the gateway's clock or by the user service's own, whichever answers first.
    let message = status.message();
    assert!(
        ["user: deadline exceeded: the call had ", "user: deadline of "].iter().any(|m| message.starts_with(m)),
        "{message}"
    );
    assert_eq!(state(&report::of_failure(&status), "user"), CallState::Failed);

    let reply = up.gateway().await.get_profile(slow(FailurePolicy::BestEffort)).await.unwrap().into_inner();
    let report = reply.report.unwrap();
    assert_eq!((state(&report, "user"), state(&report, "country")), (CallState::Failed, CallState::Ok));
    assert!(reply.user.is_none() && !reply.country_list.unwrap().countries.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10), "neither waited for the user service's 20 s");
}
