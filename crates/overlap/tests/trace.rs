//! A trace is sound whatever it is made of, and says what was repaired.

mod builder;

use builder::{EPOCH, MS, TRACE, With as _, client, find, id, internal, problems, server, span, times, trace};
use overlap::{SpanKind, Trace, TraceId, split};

#[test]
fn spans_are_in_the_order_of_a_waterfall() {
    let trace = trace(vec![
        client(4, 2, "d", 20, 30),
        client(3, 1, "c", 50, 60),
        server(1, 0, "a", 0, 100),
        internal(2, 1, "b", 10, 40),
    ]);
    let rows: Vec<_> = trace.indices().map(|index| (&*trace.span(index).name, trace.depth(index))).collect();
    assert_eq!(rows, [("a", 0), ("b", 1), ("d", 2), ("c", 1)]);
    assert_eq!(trace.root(), Some(find(&trace, 1)));
    assert_eq!(trace.children(find(&trace, 1)), [find(&trace, 2), find(&trace, 3)]);
    assert_eq!(trace.parent(find(&trace, 4)), Some(find(&trace, 2)));
    assert_eq!(trace.bounds(), (EPOCH, EPOCH + 100 * MS));
    assert!(trace.is_complete());
    assert_eq!(problems(&trace), [""; 0]);
}

#[test]
fn an_empty_trace_has_no_root() {
    let trace = trace(vec![]);
    assert_eq!((trace.root(), trace.bounds(), trace.is_complete()), (None, (0, 0), false));
}

#[test]
fn of_duplicates_the_longest_stays_and_the_later_of_equals() {
    let mut unfinished = client(2, 1, "call", 10, 10);
    unfinished.end = 0;
    let trace = trace(vec![
        server(1, 0, "a", 0, 100),
        unfinished,
        client(2, 1, "call", 10, 60),
        client(2, 1, "the same again", 10, 60),
        client(2, 1, "shorter", 10, 40),
    ]);
    assert_eq!(trace.spans().len(), 2);
    assert_eq!(&*trace.span(find(&trace, 2)).name, "the same again");
    assert_eq!(
        problems(&trace),
        [
            "3 spans (the first is app: the same again) have the id of another one; the longest is kept",
            "1 span (app: the same again) ends before it starts; it takes no time",
        ]
    );
}

#[test]
fn a_client_and_a_server_with_one_id_are_two_spans() {
    for server_first in [false, true] {
        let mut spans = vec![
            client(2, 1, "call", 10, 90),
            server(2, 1, "handle", 20, 80).service("backend"),
            internal(3, 2, "in the server", 30, 40).service("backend"),
            internal(4, 2, "in the client", 12, 15),
            server(1, 0, "a", 0, 100),
        ];
        if server_first {
            spans.swap(0, 1);
        }
        let trace = trace(spans);
        let rows: Vec<_> = trace.indices().map(|index| (&*trace.span(index).name, trace.depth(index))).collect();
        assert_eq!(rows, [("a", 0), ("call", 1), ("in the client", 2), ("handle", 2), ("in the server", 3)]);
        assert_eq!(
            problems(&trace),
            ["1 span (backend: handle) shares its id with the client's; it becomes the client's child"]
        );
    }
}

#[test]
fn spans_without_an_id_get_one() {
    let trace = trace(vec![internal(0, 1, "x", 1, 2), server(1, 0, "a", 0, 9), internal(0, 1, "y", 3, 4)]);
    assert_eq!(trace.children(find(&trace, 1)).len(), 2);
    assert_eq!(problems(&trace), ["2 spans (the first is app: x) have no id; they get one"]);
}

#[test]
fn a_missing_parent_makes_a_root_that_does_not_stand_for_the_whole() {
    let trace = trace(vec![server(1, 0, "a", 0, 100), internal(3, 9, "lost", 0, 500)]);
    assert_eq!(trace.roots(), [find(&trace, 3), find(&trace, 1)]);
    assert_eq!(trace.root(), Some(find(&trace, 1)));
    assert!(!trace.is_complete());
    assert_eq!(problems(&trace), ["1 span (app: lost) has a parent that is not in the trace; it is shown as a root"]);
}

#[test]
fn cycles_are_cut_where_they_start() {
    let trace = trace(vec![
        internal(1, 3, "a", 14, 20),
        internal(2, 1, "b", 5, 20),
        internal(3, 2, "c", 12, 20),
        internal(4, 3, "d", 13, 20),
        internal(5, 5, "self", 1, 2),
    ]);
    assert_eq!(trace.roots(), [find(&trace, 5), find(&trace, 2)]);
    assert_eq!(trace.parent(find(&trace, 4)), Some(find(&trace, 3)));
    assert_eq!(trace.parent(find(&trace, 1)), Some(find(&trace, 3)));
    assert_eq!(
        problems(&trace),
        ["4 spans (the first is app: a) are their own ancestors; each cycle is cut where it starts first"]
    );
}

#[test]
fn a_server_outside_of_its_call_moves_with_its_process() {
    let trace = trace(vec![
        server(1, 0, "a", 0, 100),
        client(2, 1, "call", 10, 90),
        server(3, 2, "handle", 1010, 1070).service("backend"),
        internal(4, 3, "work", 1020, 1030).service("backend"),
        client(5, 3, "further", 1030, 1060).service("backend"),
        // This process has the first one's clock.
        server(6, 5, "deep", 42, 48).service("store"),
    ]);
    assert_eq!([3, 4, 5, 6].map(|span| times(&trace, span)), [(20, 80), (30, 40), (40, 70), (42, 48)]);
    assert_eq!(
        problems(&trace),
        [
            "1 span (backend: handle) is outside of the call that it answers, so the clocks differ; it is moved by 990 ms"
        ]
    );
}

#[test]
fn a_server_that_goes_on_after_its_caller_gave_up_stays() {
    let trace = trace(vec![
        client(1, 0, "call", 0, 100),
        server(2, 1, "handle", 10, 400).service("backend"),
        span(3, 1, SpanKind::Producer, "send", 10, 20),
        span(4, 3, SpanKind::Consumer, "handle", 700, 800),
    ]);
    assert_eq!([2, 4].map(|span| times(&trace, span)), [(10, 400), (700, 800)]);
    assert_eq!(
        problems(&trace),
        ["1 span (backend: handle) ends after its parent; its time counts up to the parent's end"]
    );
}

#[test]
fn a_span_that_was_waited_for_is_not_told_to_end_late() {
    // A hundredth of its time: as late as a call may end that counts as awaited.
    let late = |by: u64| {
        trace(vec![
            server(1, 0, "handler", 0, 3000),
            client(2, 1, "a", 0, 1000),
            client(3, 1, "b", 1000, 3000 + by),
            internal(4, 1, "short", 2000, 3000 + by),
        ])
    };
    let awaited = late(10);
    assert_eq!(problems(&awaited), [""; 0]);
    assert_eq!(builder::analysis(&awaited).avoidable(), builder::ms(1000));
    let not_awaited = late(30);
    assert_eq!(
        problems(&not_awaited),
        ["2 spans (the first is app: b) end after their parents; their time counts up to the parent's end"]
    );
    assert_eq!(builder::analysis(&not_awaited).avoidable(), builder::ms(0));
}

#[test]
fn traces_are_told_apart_in_the_order_in_which_they_appear() {
    let mut other = server(1, 0, "other", 0, 1);
    other.trace_id = TraceId([1; 16]);
    let traces = split(vec![server(1, 0, "a", 0, 9), other.clone(), client(2, 1, "b", 1, 2)]);
    assert_eq!(traces.iter().map(Trace::id).collect::<Vec<_>>(), [TRACE, other.trace_id]);
    assert_eq!(traces[0].spans().len(), 2);
    let read_as_this = Trace::new(TRACE, vec![other]);
    assert_eq!(read_as_this.span(read_as_this.find(id(1)).unwrap()).trace_id, TRACE);
    assert_eq!(problems(&read_as_this), ["1 span (app: other) has the id of another trace; it is read as this one's"]);
}
