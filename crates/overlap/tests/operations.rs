//! The verdict on many traces, and how findings are said.

mod builder;

use std::time::Duration;

use builder::{EPOCH, MS, With as _, client, ms, server};
use overlap::{Analysis, Certainty, Evidence, Operations, Reason, Span, Trace, TraceId, text};

/// Returns the spans so many milliseconds later, as another trace.
fn later(spans: Vec<Span>, by: u64) -> Trace {
    let id = TraceId(u128::from(by + 1).to_be_bytes());
    let moved = |span: Span| Span { trace_id: id, start: span.start + by * MS, end: span.end + by * MS, ..span };
    Trace::new(id, spans.into_iter().map(moved).collect())
}

fn in_turn(took: u64) -> Vec<Span> {
    vec![
        server(1, 0, "GetProfile", 0, 2 * took),
        client(2, 1, "GetUser", 0, took),
        server(4, 2, "GetUser", 0, took).service("user"),
        client(3, 1, "ListCountries", took, 2 * took),
    ]
}

fn together(took: u64) -> Vec<Span> {
    vec![server(1, 0, "GetProfile", 0, took), client(2, 1, "GetUser", 0, took), client(3, 1, "ListCountries", 0, took)]
}

fn add(operations: &mut Operations, trace: &Trace) {
    let analysis = Analysis::of(trace, operations.evidence());
    operations.add(trace, &analysis);
}

#[test]
fn operations_are_ranked_by_what_joining_would_save_in_a_day() {
    let mut operations = Operations::default();
    for second in 0..=10 {
        add(&mut operations, &later(in_turn(100), second * 1000));
        let other = vec![server(1, 0, "Slow", 0, 5000), client(2, 1, "a", 0, 5000)];
        add(&mut operations, &later(other, second * 1000 + 500));
    }
    assert_eq!((operations.traces(), operations.observed()), (22, ms(10_500)));
    let ranked = operations.ranked();
    let names: Vec<_> = ranked.iter().map(|operation| (&*operation.service, &*operation.name)).collect();
    assert_eq!(names, [("app", "GetProfile"), ("app", "Slow"), ("user", "GetUser")]);
    let first = &ranked[0];
    assert_eq!((first.count, first.wall.p50, first.avoidable.p95), (11, ms(200), ms(100)));
    // 21 of 22 traces in 10.5 s are 2 a second, half of which are of this operation.
    assert!((first.per_day - 86_400.0).abs() < 1.0, "{}", first.per_day);
    assert!(first.saved_per_day.abs_diff(ms(8_640_000)) < ms(10), "{:?}", first.saved_per_day);
    let traces = 11;
    assert_eq!((first.certainty, first.because), (Certainty::Unknown, Reason::AwaitedInTurn { traces: 10 }));
    assert_eq!(first.findings.len(), 1);
    assert_eq!((first.findings[0].count, first.findings[0].saves), (traces, ms(1100)));
    assert_eq!(ranked[1].saved_per_day, Duration::ZERO);
    assert_eq!(
        text::operation(first),
        "app: GetProfile: 11 requests took 200 ms (p95 200 ms); joining would save 100 ms (p95 100 ms), \
         2 h 24 min a day at this rate, if the calls do not need one another."
    );
    assert_eq!(
        text::operation(&ranked[1]),
        "app: Slow: 11 requests took 5.00 s (p95 5.00 s); nothing is to be saved by joining."
    );
    assert_eq!(
        text::finding(&first.findings[0]),
        "GetProfile: GetUser, ListCountries (seen 11 times, the averages): 2 calls one after the other took 200 ms; \
         together they would take 100 ms, if the second does not need the first. \
         In all of 10 traces each started as soon as the one before had ended."
    );
}

#[test]
fn what_overlapped_later_is_known_of_what_was_seen_before() {
    let mut operations = Operations::default();
    add(&mut operations, &later(in_turn(100), 0));
    assert_eq!(operations.ranked()[0].certainty, Certainty::Unknown);
    add(&mut operations, &later(together(100), 1000));
    let first = &operations.ranked()[0];
    assert_eq!((first.certainty, first.because), (Certainty::Independent, Reason::Overlapped { traces: 1 }));
    assert_eq!((first.avoidable.p50, first.avoidable.p95), (ms(0), ms(100)));
}

#[test]
fn a_read_with_a_query_is_not_one_without_parameters() {
    let get = |number: u64, address: &str| {
        client(number, 1, "GET", (number - 2) * 100, (number - 1) * 100)
            .attribute("http.request.method", "GET".into())
            .attribute("url.full", address.into())
    };
    let spans = |address: &str| vec![server(1, 0, "page", 0, 200), client(2, 1, "GetUser", 0, 100), get(3, address)];
    let (with, without) = (spans("http://host/countries?code=NL"), spans("http://host/countries"));
    let judged = |traces: &[&Vec<Span>]| {
        let mut operations = Operations::default();
        for (number, spans) in (0..).zip(traces) {
            add(&mut operations, &later((*spans).clone(), number * 1000));
        }
        let [finding] = &operations.ranked()[0].findings[..] else { panic!() };
        assert_eq!(finding.count, traces.len() as u64, "one method");
        (finding.certainty, finding.because)
    };
    let known = (Certainty::Independent, Reason::WithoutParameters);
    let unknown = (Certainty::Unknown, Reason::Nothing);
    assert_eq!(judged(&[&without, &without]), known);
    for traces in [[&with, &without], [&without, &with]] {
        assert_eq!(judged(&traces), unknown);
    }
}

#[test]
fn two_accumulators_make_one() {
    let (mut one, mut other, mut all) = (Operations::default(), Operations::default(), Operations::default());
    for number in 0..20 {
        let trace = later(if number % 4 == 3 { together(50) } else { in_turn(50 + number) }, number * 100);
        add(if number % 2 == 0 { &mut one } else { &mut other }, &trace);
        add(&mut all, &trace);
    }
    one.merge(&other);
    let (merged, all) = (one.ranked(), all.ranked());
    for (merged, all) in merged.iter().zip(&all) {
        assert_eq!(
            (&merged.name, merged.count, merged.wall, merged.avoidable, merged.saved_per_day, merged.certainty),
            (&all.name, all.count, all.wall, all.avoidable, all.saved_per_day, all.certainty)
        );
    }
    assert_eq!(merged.len(), all.len());
}

#[test]
fn memory_is_bounded() {
    let mut operations = Operations::with_limits(3, Evidence::with_limit(2));
    for number in 0..100 {
        let name = format!("operation {number}");
        let spans = vec![
            server(1, 0, &name, 0, 300),
            client(2, 1, "a", 0, 100),
            client(3, 1, "b", 100, 200),
            client(4, 1, "c", 200, 300),
        ];
        add(&mut operations, &later(spans, number));
    }
    let mut names: Vec<_> = operations.ranked().iter().map(|operation| operation.name.to_string()).collect();
    names.sort_unstable();
    assert_eq!(names, ["operation 97", "operation 98", "operation 99"]);
    assert_eq!(operations.dropped(), 97, "one request of each of the others");
    assert!(operations.evidence().pairs() <= 2 && operations.evidence().dropped() > 0);
    assert!(operations.ranked().iter().all(|operation| operation.findings.len() == 1));
}

#[test]
fn what_is_seen_again_stays_and_what_is_not_makes_room() {
    let (mut one, mut other) =
        (Operations::with_limits(16, Evidence::with_limit(16)), Operations::with_limits(16, Evidence::default()));
    let handler = |name: &str| {
        vec![
            server(1, 0, name, 0, 200),
            client(2, 1, &format!("{name} a"), 0, 100),
            client(3, 1, &format!("{name} b"), 50, 200),
        ]
    };
    for number in 0..10 {
        add(&mut one, &later(handler("old"), number));
    }
    for number in 0..1000 {
        // Two of them go on among names that are never seen again, as of addresses with ids.
        add(&mut one, &later(handler(&format!("flood {number}")), 2 * number));
        add(&mut one, &later(handler(["new", "newer"][usize::from(number % 3 == 0)]), 2 * number + 1));
    }
    let seen = |operations: &Operations, name: &str| {
        operations.ranked().iter().find(|operation| &*operation.name == name).map_or(0, |operation| operation.count)
    };
    assert_eq!((seen(&one, "old"), seen(&one, "new"), seen(&one, "newer")), (10, 666, 334));
    assert_eq!(seen(&one, "flood 0"), 0);
    assert_eq!(one.dropped() + one.ranked().iter().map(|operation| operation.count).sum::<u64>(), 2010);
    // What the pairs of the new ones have shown is still known.
    let mut in_turn = handler("new");
    in_turn[2] = client(3, 1, "new b", 100, 200);
    let analysis = Analysis::of(&builder::trace(in_turn), one.evidence());
    assert_eq!(analysis.fan_outs()[0].sequences[0].because, Reason::Overlapped { traces: 666 });
    // What has not been seen for long makes room for as many that are seen again and again.
    for number in 0..200 {
        add(&mut other, &later(handler(&format!("current {}", number % 16)), number));
    }
    one.merge(&other);
    assert_eq!((seen(&one, "old"), seen(&one, "new"), one.ranked().len()), (0, 0, 16));
    assert_eq!(seen(&one, "current 3"), 13);
}

#[test]
fn a_day_is_told_from_ten_requests_on() {
    let mut operations = Operations::default();
    for second in 0..10 {
        assert!(operations.ranked().iter().all(|operation| operation.saved_per_day.is_zero()));
        add(&mut operations, &later(in_turn(100), second * 1000));
    }
    assert!(operations.ranked()[0].saved_per_day > ms(8_000_000));
}

#[test]
fn an_empty_trace_is_no_request() {
    let mut operations = Operations::default();
    add(&mut operations, &Trace::new(TraceId([1; 16]), vec![]));
    assert_eq!((operations.traces(), operations.ranked().len()), (0, 0));
    assert_eq!(EPOCH / MS, 1_700_000_000_000);
}

fn verdict(spans: Vec<Span>) -> Vec<String> {
    let trace = builder::trace(spans);
    text::verdict(&trace, &Analysis::of(&trace, &Evidence::default()))
}

#[test]
fn two_calls_in_turn_are_told_as_in_the_issue() {
    assert_eq!(
        verdict(in_turn(3000)),
        [
            "It took 6.00 s; joining calls would save up to 3.00 s.",
            "app: GetProfile: GetUser, ListCountries: 2 calls one after the other took 6.00 s; \
             together they would take 3.00 s, if the second does not need the first.",
        ]
    );
    assert_eq!(verdict(together(3000)), ["Overlapping saved 3.00 s; nothing is left to join."]);
    // Tasks never start at the same instant: less than one part in a hundred is not worth a word.
    let spans = vec![server(1, 0, "a", 0, 3010), client(2, 1, "b", 0, 3000), client(3, 1, "c", 10, 3010)];
    assert_eq!(verdict(spans), ["Overlapping saved 2.99 s; nothing is left to join."]);
    // In turn beside something as long: the part that would be shorter is not waited for.
    let beside = vec![
        server(1, 0, "a", 0, 400),
        client(2, 1, "slow", 0, 400),
        client(3, 1, "b", 0, 200),
        server(4, 3, "b", 0, 200).service("backend"),
        client(5, 4, "c", 0, 100).service("backend"),
        client(6, 4, "d", 100, 200).service("backend"),
    ];
    let told = verdict(beside);
    assert_eq!(told[0], "It took 400 ms; joining calls would make parts of it shorter, but not the whole.");
    assert!(
        told.len() == 2 && told[1].starts_with("backend: b: c, d: 2 calls one after the other took 200 ms"),
        "{told:?}"
    );
    assert_eq!(verdict(vec![server(1, 0, "a", 0, 10)]), ["Nothing waited that could have run together."]);
    assert_eq!(verdict(vec![]), ["The trace is empty."]);
}

#[test]
fn repeated_calls_and_limits_are_told_with_their_number() {
    let mut spans = vec![server(1, 0, "List", 0, 1000)];
    spans.extend((0..10).map(|number| client(number + 2, 1, "SELECT items", number * 100, number * 100 + 100)));
    assert_eq!(
        verdict(spans),
        [
            "It took 1.00 s; joining calls would save up to 900 ms.",
            "app: List: SELECT items: 10 calls of SELECT items one after another took 1.00 s; \
             together they would take 100 ms, if none needs an earlier one.",
        ]
    );
    let mut spans = vec![server(1, 0, "List", 0, 500)];
    spans.extend((0..10).map(|number| client(number + 2, 1, "GetUser", number / 2 * 100, number / 2 * 100 + 100)));
    assert_eq!(
        verdict(spans),
        [
            "It took 500 ms; joining calls would save up to 400 ms.",
            "app: List: 10 calls of GetUser ran at most 2 at a time and took 500 ms; \
             all at once they would take 100 ms, if what they call bears it.",
        ]
    );
}

#[test]
fn reasons_are_told() {
    let query = |number: u64, text: &str| {
        client(number, 1, "query", number * 100, number * 100 + 100).attribute("db.query.text", text.into())
    };
    let root = || server(1, 0, "handler", 200, 600);
    let spans = vec![root(), query(2, "SELECT 1 FROM a WHERE b = 1"), query(3, "SELECT * FROM countries")];
    assert_eq!(
        verdict(spans)[1],
        "app: handler: query: 2 calls one after the other took 200 ms; together they would take 100 ms: \
         the second reads without parameters, so it does not need the first."
    );
    let mixed = vec![root(), query(2, "SELECT a"), query(3, "SELECT b WHERE 1"), query(4, "x"), query(5, "x")];
    assert_eq!(
        verdict(mixed)[1],
        "app: handler: query: 4 calls one after another took 400 ms; together they would take 100 ms, \
         if none needs an earlier one."
    );
    let trace = builder::trace(vec![root(), query(2, "x"), query(3, "y").link(2)]);
    let analysis = Analysis::of(&trace, &Evidence::default());
    assert_eq!(
        text::sequence(&trace, &analysis.fan_outs()[0].sequences[0]),
        "2 calls one after the other took 200 ms; the second needs the first (a link shows it), so joining saves nothing."
    );
    assert_eq!(
        text::fan_out(&analysis.fan_outs()[0]),
        "2 calls in 200 ms, 200 ms one by one: 0 s saved, 0 s avoidable"
    );
}
