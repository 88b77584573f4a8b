//! The figures of a span's calls.

mod builder;

use builder::{With as _, analysis, client, fan_out, find, internal, ms, server, span, trace};
use overlap::{Span, SpanKind, Value};

#[track_caller]
fn figures(calls: &[(u64, u64)], wall: u64, sum: u64, union: u64, saved: u64, avoidable: u64) {
    let calls = (2..).zip(calls).map(|(number, (start, end))| client(number, 1, "call", *start, *end));
    let fan_out = fan_out([server(1, 0, "root", 0, 10_000)].into_iter().chain(calls).collect());
    assert_eq!(
        (fan_out.wall, fan_out.sum, fan_out.union, fan_out.saved, fan_out.avoidable),
        (ms(wall), ms(sum), ms(union), ms(saved), ms(avoidable))
    );
}

#[test]
fn figures_are_those_of_the_fan_out_crate() {
    // The cases of `fan_out::Report`.
    figures(&[(0, 3000), (3000, 5000)], 5000, 5000, 5000, 0, 2000);
    figures(&[(0, 3000), (0, 2000)], 3000, 5000, 3000, 2000, 0);
    figures(&[(0, 300)], 300, 300, 300, 0, 0);
    figures(&[(50, 150), (60, 160)], 110, 200, 110, 90, 10);
}

#[test]
fn the_time_between_calls_is_neither_saved_nor_avoidable() {
    figures(&[(0, 100), (150, 250)], 250, 200, 200, 0, 100);
    figures(&[(0, 100), (50, 150), (200, 300)], 300, 300, 250, 50, 150);
}

#[test]
fn calls_in_functions_and_tasks_count_for_who_started_these() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 700),
        internal(2, 1, "load user", 0, 310),
        client(3, 2, "GET user", 5, 305),
        internal(4, 1, "load country", 310, 650),
        internal(5, 4, "with cache", 312, 645),
        client(6, 5, "GET country", 320, 620),
        client(7, 5, "SET cache", 620, 640),
        internal(8, 1, "render", 650, 700),
    ]);
    assert_eq!(fan_out.calls.len(), 2);
    let times = fan_out.times.iter().map(|time| (time.start - builder::EPOCH, time.end - builder::EPOCH));
    let times: Vec<_> = times.map(|(start, end)| (start / builder::MS, end / builder::MS)).collect();
    assert_eq!(times, [(5, 305), (320, 640)]);
    assert_eq!((fan_out.sum, fan_out.avoidable), (ms(620), ms(300)));
}

#[test]
fn a_span_whose_only_call_contains_the_calls_has_no_figures() {
    let trace = trace(vec![
        server(1, 0, "handler", 0, 100),
        internal(2, 1, "fan_out", 0, 100),
        client(3, 2, "a", 0, 50),
        client(4, 2, "b", 50, 100),
    ]);
    let analysis = analysis(&trace);
    assert_eq!(analysis.fan_outs().iter().map(|fan_out| fan_out.parent).collect::<Vec<_>>(), [find(&trace, 2)]);
    assert_eq!((analysis.avoidable(), analysis.avoidable_within(find(&trace, 1))), (ms(50), ms(50)));
}

#[test]
fn a_server_without_its_clients_span_is_a_call() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 100),
        server(2, 1, "a", 0, 50).service("a"),
        server(3, 1, "b", 50, 100).service("b"),
        internal(4, 1, "render", 0, 100),
        span(5, 1, SpanKind::Unspecified, "query", 0, 10).attribute("db.system", "sqlite".into()),
        span(6, 1, SpanKind::Unspecified, "what", 0, 10),
    ]);
    assert_eq!(fan_out.calls.len(), 3);
}

#[test]
fn nobody_waits_for_a_call_that_outlives_its_parent() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 110),
        client(2, 1, "a", 0, 100),
        client(3, 1, "fire and forget", 100, 300),
        client(4, 1, "after the reply", 200, 300),
    ]);
    assert_eq!((fan_out.sum, fan_out.union, fan_out.avoidable), (ms(110), ms(110), ms(0)));
    assert_eq!(fan_out.sequences, []);
}

#[test]
fn a_middleware_that_ends_a_little_before_its_handler_waits_for_it() {
    // Express on a busy machine.
    let trace = trace(vec![
        server(1, 0, "GET /in-turn", 0, 2406),
        internal(2, 1, "middleware", 13, 2394),
        internal(3, 2, "request handler", 27, 2406),
        client(4, 3, "GET user", 113, 1315),
        client(5, 3, "GET countries", 1346, 2399),
    ]);
    assert_eq!(analysis(&trace).avoidable(), ms(1053));
}

#[test]
fn times_of_overlap_are_given_with_their_width() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 400),
        client(2, 1, "a", 0, 100),
        client(3, 1, "b", 50, 200),
        client(4, 1, "c", 60, 90),
        client(5, 1, "d", 200, 300),
        client(6, 1, "e", 250, 300),
        client(7, 1, "f", 250, 250),
    ]);
    let overlaps: Vec<_> = fan_out.overlaps().into_iter().map(|o| (o.end - o.start, o.calls)).collect();
    assert_eq!(overlaps, [(50 * builder::MS, 3), (50 * builder::MS, 2)]);
}

#[test]
fn savings_reach_the_root_only_where_it_waits_for_them() {
    let spans = |other: u64| {
        vec![
            server(1, 0, "gateway", 0, 1000),
            client(2, 1, "a", 0, 400),
            server(3, 2, "a", 10, 390).service("a"),
            client(4, 3, "x", 10, 200).service("a"),
            client(5, 3, "y", 200, 390).service("a"),
            client(6, 1, "b", 0, other),
        ]
    };
    for (other, saving) in [(100, 190), (300, 100), (400, 0)] {
        let trace = trace(spans(other));
        let analysis = analysis(&trace);
        assert_eq!(analysis.avoidable(), ms(saving), "beside {other} ms");
        assert_eq!(analysis.avoidable_within(find(&trace, 1)), ms(0));
        assert_eq!(analysis.avoidable_within(find(&trace, 3)), ms(190));
    }
}

#[test]
fn attempts_of_one_call_are_one_call() {
    let attempt = |span: Span, number: i64| span.attribute("fanout.attempt", Value::Int(number));
    let retried = fan_out(vec![
        server(1, 0, "fan_out", 0, 500),
        attempt(client(2, 1, "GetUser", 0, 100), 1),
        attempt(client(3, 1, "GetUser", 0, 130), 1),
        attempt(client(4, 1, "GetUser", 150, 250), 2),
        attempt(client(5, 1, "GetUser", 300, 400), 3),
        attempt(client(6, 1, "GetUser", 105, 110), 2),
    ]);
    let times: Vec<_> = retried.times.iter().map(|time| (time.end - time.start) / builder::MS).collect();
    assert_eq!(times, [110, 400]);
    assert_eq!((retried.sum, retried.avoidable, retried.sequences.len()), (ms(510), ms(0), 0));

    let hedged = fan_out(vec![
        server(1, 0, "fan_out", 0, 200),
        attempt(client(2, 1, "GetUser", 0, 150), 1),
        attempt(client(3, 1, "GetUser", 100, 200), 2),
    ]);
    assert_eq!((hedged.calls.len(), hedged.sum, hedged.saved), (1, ms(200), ms(0)));

    let resent = |number, start, count| {
        client(number, 1, "GET", start, start + 50).attribute("http.request.resend_count", Value::Int(count))
    };
    let fan_out =
        fan_out(vec![server(1, 0, "handler", 0, 200), client(2, 1, "GET", 0, 50), resent(3, 60, 1), resent(4, 120, 7)]);
    assert_eq!(fan_out.calls.len(), 2, "the seventh is not the second's next");
}
