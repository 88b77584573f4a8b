//! The chain of spans that determines the end.

mod builder;

use builder::{EPOCH, MS, With as _, client, find, internal, server, span, trace};
use overlap::{Analysis, Evidence, Span, SpanKind, Trace};

/// Returns the path as name, start and end in milliseconds; a name with a question mark is a guess.
fn path_with(trace: &Trace, evidence: &Evidence) -> Vec<(String, u64, u64)> {
    let analysis = Analysis::of(trace, evidence);
    let segments = analysis.critical_path().iter();
    let name = |name: &str, certain| format!("{name}{}", if certain { "" } else { "?" });
    segments
        .map(|segment| {
            let at = |time: u64| (time - EPOCH) / MS;
            (name(&trace.span(segment.span).name, segment.certain), at(segment.start), at(segment.end))
        })
        .collect()
}

#[track_caller]
fn path(spans: Vec<Span>, expected: &[(&str, u64, u64)]) {
    let path = path_with(&trace(spans), &Evidence::default());
    let path: Vec<_> = path.iter().map(|(name, start, end)| (&**name, *start, *end)).collect();
    assert_eq!(path, expected);
}

#[test]
fn of_calls_together_the_longest_is_on_the_path() {
    path(
        vec![
            server(1, 0, "root", 0, 110),
            client(2, 1, "a", 0, 60),
            client(3, 1, "b", 0, 100),
            client(4, 1, "c", 0, 80),
        ],
        &[("b", 0, 100), ("root", 100, 110)],
    );
}

#[test]
fn calls_back_to_back_with_equal_times_are_all_on_it() {
    path(
        vec![
            server(1, 0, "root", 0, 30),
            client(2, 1, "a", 0, 10),
            client(3, 1, "b", 10, 20),
            client(4, 1, "c", 20, 30),
        ],
        &[("a", 0, 10), ("b", 10, 20), ("c", 20, 30)],
    );
}

#[test]
fn calls_without_duration_stop_nothing() {
    path(
        vec![
            server(1, 0, "root", 0, 30),
            client(2, 1, "a", 0, 10),
            client(3, 1, "none", 10, 10),
            client(4, 1, "none", 10, 10),
            client(5, 1, "c", 10, 30),
            client(6, 1, "none", 30, 30),
            client(7, 1, "none", 0, 0),
        ],
        &[("a", 0, 10), ("c", 10, 30)],
    );
}

#[test]
fn gaps_are_the_parents_own_time() {
    path(
        vec![server(1, 0, "root", 0, 100), client(2, 1, "a", 10, 40), client(3, 1, "b", 60, 90)],
        &[("root", 0, 10), ("a", 10, 40), ("root", 40, 60), ("b", 60, 90), ("root", 90, 100)],
    );
}

#[test]
fn the_path_goes_through_processes_and_tasks() {
    path(
        vec![
            server(1, 0, "root", 0, 100),
            client(2, 1, "a", 0, 100),
            server(3, 2, "handle a", 1010, 1090).service("a"),
            internal(4, 3, "task 1", 1010, 1050).service("a"),
            internal(5, 3, "task 2", 1010, 1090).service("a"),
            client(6, 5, "query", 1020, 1080).service("a"),
            client(7, 1, "b", 0, 60),
        ],
        &[("a", 0, 10), ("task 2", 10, 20), ("query", 20, 80), ("task 2", 80, 90), ("a", 90, 100)],
    );
}

#[test]
fn nobody_waits_for_a_task_that_outlives_everything() {
    path(
        vec![server(1, 0, "root", 0, 100), client(2, 1, "a", 0, 80), client(3, 1, "in the background", 10, 500)],
        &[("a", 0, 80), ("root", 80, 100)],
    );
}

#[test]
fn a_task_that_outlives_its_parent_was_waited_for_further_up() {
    path(
        vec![
            server(1, 0, "root", 0, 400),
            internal(2, 1, "start", 0, 100),
            internal(3, 2, "inner", 10, 90),
            internal(4, 3, "task", 50, 390),
            client(5, 3, "first", 20, 50),
            client(6, 1, "other", 100, 200),
        ],
        &[("start", 0, 10), ("inner", 10, 20), ("first", 20, 50), ("task", 50, 390), ("root", 390, 400)],
    );
}

#[test]
fn a_server_that_goes_on_counts_until_its_caller_gave_up() {
    path(
        vec![
            server(1, 0, "root", 0, 110),
            client(2, 1, "call", 0, 100),
            server(3, 2, "handle", 10, 500).service("backend"),
            client(4, 3, "query", 20, 490).service("backend"),
        ],
        &[("call", 0, 10), ("handle", 10, 20), ("query", 20, 100), ("root", 100, 110)],
    );
}

#[test]
fn children_that_start_before_their_parent_are_cut() {
    path(
        vec![
            server(1, 0, "root", 10, 100),
            internal(2, 1, "early", 0, 50),
            client(3, 2, "earlier", 5, 40),
            client(4, 1, "a", 50, 100),
        ],
        &[("earlier", 10, 40), ("early", 40, 50), ("a", 50, 100)],
    );
}

#[test]
fn messages_are_handled_after_the_path() {
    path(
        vec![
            server(1, 0, "root", 0, 100),
            span(2, 1, SpanKind::Producer, "send", 10, 20),
            span(3, 2, SpanKind::Consumer, "handle", 50, 300).service("worker"),
        ],
        &[("root", 0, 10), ("send", 10, 20), ("root", 20, 100)],
    );
}

/// jaeger-ui#2371, in which `foo2` takes so many milliseconds; 200 in the report:
///
/// ```python
/// async def foo1():
///     await request("foo1", 0.1)
///     await asyncio.sleep(0.1)
///     await request("foo3", 0.3)
///
/// async def main():
///     await asyncio.gather(foo1(), request("foo2", 0.2))
/// ```
fn jaeger_ui_2371(foo2: u64, tasks: bool) -> Trace {
    let mut spans = vec![
        internal(1, 0, "main", 0, 500),
        internal(2, if tasks { 5 } else { 1 }, "get /foo1", 0, 100),
        internal(3, 1, "get /foo2", 0, foo2),
        internal(4, if tasks { 5 } else { 1 }, "get /foo3", 200, 500),
    ];
    if tasks {
        spans.push(internal(5, 1, "foo1", 0, 500));
    }
    trace(spans)
}

#[test]
fn a_gather_whose_tasks_have_spans_is_right_at_once() {
    for foo2 in [150, 200, 250] {
        let path = path_with(&jaeger_ui_2371(foo2, true), &Evidence::default());
        let expected = [("get /foo1", 0, 100), ("foo1", 100, 200), ("get /foo3", 200, 500)];
        assert_eq!(path, expected.map(|(name, start, end)| (name.to_owned(), start, end)));
    }
}

#[test]
fn a_gather_of_siblings_is_a_guess_in_one_trace_and_right_over_many() {
    let as_reported = jaeger_ui_2371(200, false);
    // What Jaeger shows as a fact: /foo3 starts when /foo2 ends, which is how a join would look as well.
    let guess = [("get /foo2?", 0, 200), ("get /foo3", 200, 500)];
    assert_eq!(
        path_with(&as_reported, &Evidence::default()),
        guess.map(|(name, start, end)| (name.to_owned(), start, end))
    );
    // Once /foo2 takes longer, both run at the same time: /foo3 has not waited for it.
    let mut evidence = Evidence::default();
    evidence.add(&jaeger_ui_2371(230, false));
    let right = [("get /foo1", 0, 100), ("main", 100, 200), ("get /foo3", 200, 500)];
    for foo2 in [150, 200, 230] {
        assert_eq!(
            path_with(&jaeger_ui_2371(foo2, false), &evidence),
            right.map(|(name, start, end)| (name.to_owned(), start, end))
        );
    }
}

#[test]
fn independent_calls_in_turn_stay_on_the_path() {
    let spans = || vec![server(1, 0, "root", 0, 200), client(2, 1, "a", 0, 100), client(3, 1, "b", 100, 200)];
    let mut evidence = Evidence::default();
    evidence.add(&trace(vec![server(1, 0, "root", 0, 200), client(2, 1, "a", 0, 100), client(3, 1, "b", 0, 100)]));
    let expected = [("a", 0, 100), ("b", 100, 200)];
    assert_eq!(path_with(&trace(spans()), &evidence), expected.map(|(name, from, to)| (name.to_owned(), from, to)));
}

#[test]
fn a_known_need_comes_before_what_ended_later() {
    path(
        vec![
            server(1, 0, "root", 0, 300),
            client(2, 1, "a", 0, 100),
            client(3, 1, "b", 0, 190),
            client(4, 1, "c", 200, 300).link(2),
        ],
        &[("a", 0, 100), ("root", 100, 200), ("c", 200, 300)],
    );
}

#[test]
fn an_empty_trace_and_a_single_span_have_a_path() {
    path(vec![], &[]);
    path(vec![server(1, 0, "root", 0, 10)], &[("root", 0, 10)]);
    path(vec![server(1, 0, "root", 5, 5), client(2, 1, "a", 5, 5)], &[]);
    let trace = trace(vec![server(1, 0, "root", 0, 10)]);
    assert_eq!(Analysis::of(&trace, &Evidence::default()).critical_path()[0].span, find(&trace, 1));
}
