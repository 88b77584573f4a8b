//! What is said about calls that ran in turn.

mod builder;

use builder::{With as _, analysis, client, fan_out, find, id, internal, ms, server, trace};
use overlap::{Analysis, Certainty, Evidence, Reason, Repeated, Trace, Value};

#[test]
fn calls_in_turn_are_one_sequence_said_with_a_condition() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 6000),
        client(2, 1, "GetUser", 0, 3000),
        client(3, 1, "ListCountries", 3000, 6000),
    ]);
    let [sequence] = &fan_out.sequences[..] else { panic!("{fan_out:#?}") };
    assert_eq!((sequence.took, sequence.together, sequence.saves), (ms(6000), ms(3000), ms(3000)));
    assert_eq!((sequence.certainty, sequence.because), (Certainty::Unknown, Reason::Nothing));
    assert_eq!(sequence.repeated, None);
}

#[test]
fn long_pauses_end_a_sequence() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 1000),
        client(2, 1, "a", 0, 100),
        client(3, 1, "b", 125, 225),
        client(4, 1, "c", 251, 351),
    ]);
    let sequences: Vec<_> = fan_out.sequences.iter().map(|sequence| (sequence.calls.len(), sequence.took)).collect();
    assert_eq!(sequences, [(2, ms(225))]);
    assert_eq!(fan_out.sequences[0].together, ms(125), "the pause is the program's own time");
}

#[test]
fn a_sequence_beside_something_as_long_saves_nothing() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 1000),
        client(2, 1, "a", 0, 100),
        client(3, 1, "b", 100, 200),
        client(4, 1, "c", 0, 200),
    ]);
    assert_eq!(fan_out.sequences.len(), 1);
    assert_eq!((fan_out.sequences[0].together, fan_out.sequences[0].saves), (ms(100), ms(0)));
}

#[test]
fn a_link_shows_that_the_later_call_needs_the_earlier() {
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 300),
        internal(2, 1, "first", 0, 100),
        client(3, 2, "attempt 1", 0, 100),
        internal(4, 1, "second", 150, 250),
        client(5, 4, "attempt 2", 150, 250).link(3),
    ]);
    assert_eq!(fan_out.avoidable, ms(0));
    let spans = vec![
        server(1, 0, "handler", 0, 300),
        client(2, 1, "attempt 1", 0, 100),
        client(3, 1, "attempt 2", 105, 205).link(2),
        client(4, 1, "other", 205, 300),
    ];
    let trace = trace(spans);
    let fan_out = analysis(&trace).fan_outs()[0].clone();
    assert_eq!(fan_out.avoidable, ms(95));
    let [sequence] = &fan_out.sequences[..] else { panic!("{fan_out:#?}") };
    assert_eq!((sequence.took, sequence.together), (ms(300), ms(205)));
    assert_eq!((sequence.certainty, sequence.because), (Certainty::Unknown, Reason::Nothing));
}

#[test]
fn links_between_calls_that_overlap_or_to_other_traces_show_nothing() {
    let mut elsewhere = client(4, 1, "c", 200, 300).link(3);
    elsewhere.links[0].trace_id.0[0] += 1;
    let fan_out = fan_out(vec![
        server(1, 0, "handler", 0, 300).link(2),
        client(2, 1, "a", 0, 100).link(3).link(1).link(2).link(99),
        client(3, 1, "hedge", 50, 200).link(2),
        elsewhere,
    ]);
    assert_eq!(fan_out.avoidable, ms(150));
}

#[test]
fn chains_are_read_from_the_parent_and_from_the_calls() {
    for by_parent in [true, false] {
        let mut root = server(1, 0, "fan_out", 0, 300);
        let mut calls =
            vec![client(2, 1, "GetUser", 0, 100), client(3, 1, "GetCountry", 100, 200), client(4, 1, "Other", 0, 150)];
        if by_parent {
            root = root.attribute("fanout.chains", "GetUser > GetCountry".into());
        } else {
            calls = calls.into_iter().take(2).map(|call| call.attribute("fanout.chain", Value::Int(0))).collect();
        }
        let fan_out = fan_out([root].into_iter().chain(calls).collect());
        assert_eq!(fan_out.avoidable, ms(0));
        let sequence = &fan_out.sequences[0];
        assert_eq!((sequence.certainty, sequence.because), (Certainty::Dependent, Reason::Chain));
        assert_eq!((sequence.together, sequence.saves), (ms(200), ms(0)));
    }
}

#[test]
fn chains_with_the_same_steps_are_told_apart_by_their_times() {
    let fan_out = fan_out(vec![
        server(1, 0, "fan_out", 0, 500).attribute("fanout.chains", "u > c; u > c; nothing; > ; u > x > c".into()),
        client(2, 1, "u", 0, 100),
        client(3, 1, "u", 0, 200),
        client(4, 1, "c", 100, 350),
        client(5, 1, "c", 200, 350),
    ]);
    assert_eq!(fan_out.avoidable, ms(0));
    assert!(fan_out.sequences.iter().all(|sequence| sequence.certainty == Certainty::Dependent), "{fan_out:#?}");
}

/// Returns which call each later one of the sequences needs, by the name of their parent's chains.
fn chained(chains: &str, calls: &[(&str, u64, u64)]) -> Vec<(usize, usize)> {
    let root = server(1, 0, "fan_out", 0, 1000).attribute("fanout.chains", chains.into());
    let calls = (2..).zip(calls).map(|(number, (name, start, end))| client(number, 1, name, *start, *end));
    let fan_out = fan_out([root].into_iter().chain(calls).collect());
    let dependent = |sequence: &&overlap::Sequence| sequence.certainty == Certainty::Dependent;
    let place = |call: &overlap::SpanIndex| fan_out.calls.iter().position(|known| known == call).expect("a call");
    let pairs = fan_out.sequences.iter().filter(dependent).flat_map(|sequence| sequence.calls.windows(2));
    pairs.map(|pair| (place(&pair[0]), place(&pair[1]))).collect()
}

#[test]
fn a_step_that_several_chains_have_belongs_to_the_call_that_it_followed() {
    // `c` has ended first, so that the first `b` is its.
    let calls = [("a", 0, 100), ("c", 0, 50), ("b", 50, 90), ("b", 100, 150)];
    assert_eq!(chained("a > b; c > b", &calls), [(0, 2), (1, 3)]);
    assert_eq!(chained("c > b; a > b", &calls), [(0, 2), (1, 3)]);
    // `a` has failed, and its next step was never made.
    assert_eq!(chained("a > b; c > b", &[("a", 0, 50), ("c", 0, 100), ("b", 100, 150)]), [(1, 2)]);
    // Each call has one successor.
    assert_eq!(
        chained("u > c; u > d", &[("u", 0, 100), ("u", 0, 200), ("d", 100, 300), ("c", 200, 300)]),
        [(0, 2), (1, 3)]
    );
    assert_eq!(chained("a > a > a", &[("a", 0, 100), ("a", 100, 200), ("a", 200, 300)]), [(0, 1), (1, 2)]);
}

#[test]
fn steps_that_are_not_read_are_told() {
    let verdict = |names: u64| {
        let all =
            (0..names).map(|number| format!("a{number} > b; c{number} > d{number}")).collect::<Vec<_>>().join("; ");
        let root = server(1, 0, "fan_out", 0, 1000).attribute("fanout.chains", (&*all).into());
        let last = names - 1;
        let trace = trace(vec![
            root,
            client(2, 1, &format!("c{last}"), 0, 100),
            client(3, 1, &format!("d{last}"), 100, 200),
            client(4, 1, &format!("a{last}"), 200, 300),
            client(5, 1, "b", 300, 400),
        ]);
        let analysis = analysis(&trace);
        let told = overlap::text::verdict(&trace, &analysis).pop().expect("a verdict");
        (analysis.ignored_steps(), analysis.avoidable(), told)
    };
    let (ignored, avoidable, _) = verdict(64);
    assert_eq!((ignored, avoidable), (0, ms(200)), "two chains");
    let (ignored, avoidable, told) = verdict(67);
    assert_eq!((ignored, avoidable), (3, ms(200)), "of one chain it is known");
    assert_eq!(
        told,
        "3 steps of fanout.chains were not read: a call may follow calls of at most 64 names. What joining would save may \
         be less."
    );
}

#[test]
fn a_read_without_parameters_is_independent_unless_something_was_changed_before() {
    let query = |number, start, text: &str| {
        client(number, 1, "query", start, start + 100).attribute("db.query.text", text.into())
    };
    let judged = |first: &str, second: &str| {
        let fan_out = fan_out(vec![server(1, 0, "handler", 0, 200), query(2, 0, first), query(3, 100, second)]);
        (fan_out.sequences[0].certainty, fan_out.sequences[0].because)
    };
    let known = (Certainty::Independent, Reason::WithoutParameters);
    let unknown = (Certainty::Unknown, Reason::Nothing);
    assert_eq!(judged("SELECT * FROM users WHERE id = ?", "SELECT * FROM countries"), known);
    assert_eq!(judged("SELECT * FROM countries", "SELECT * FROM users WHERE id = ?"), unknown);
    assert_eq!(judged("INSERT INTO countries VALUES (?)", "SELECT * FROM countries"), unknown);
}

#[test]
fn repeated_calls_are_one_finding_with_their_number() {
    let query = |number: u64, text: &str| {
        client(number, 1, "SELECT", number * 10, number * 10 + 10).attribute("db.query.text", text.into())
    };
    let trace = trace(vec![
        server(1, 0, "handler", 0, 200),
        query(2, "SELECT * FROM orders"),
        query(3, "SELECT * FROM items WHERE id = 1"),
        query(4, "SELECT * FROM items WHERE id = 2"),
        query(5, "SELECT * FROM items WHERE id = 3"),
    ]);
    let fan_out = analysis(&trace).fan_outs()[0].clone();
    assert_eq!(fan_out.sequences.len(), 1);
    assert_eq!(fan_out.sequences[0].repeated, Some(Repeated { call: find(&trace, 3), times: 3 }));
}

#[test]
fn calls_that_overlapped_in_another_trace_are_independent() {
    let traces = |start: u64| {
        trace(vec![server(1, 0, "handler", 0, 300), client(2, 1, "a", 0, 100), client(3, 1, "b", start, start + 100)])
    };
    let judged = |evidence: &Evidence, trace: &Trace| {
        let analysis = Analysis::of(trace, evidence);
        let sequence = &analysis.fan_outs()[0].sequences[0];
        (sequence.certainty, sequence.because)
    };
    let in_turn = traces(100);
    let mut evidence = Evidence::default();
    for _ in 0..2 {
        evidence.add(&in_turn);
    }
    assert_eq!(judged(&evidence, &in_turn), (Certainty::Unknown, Reason::Nothing), "two do not make an always");
    evidence.add(&in_turn);
    assert_eq!(judged(&evidence, &in_turn), (Certainty::Unknown, Reason::AwaitedInTurn { traces: 3 }));
    let mut apart = evidence.clone();
    apart.add(&traces(120));
    assert_eq!(judged(&apart, &in_turn), (Certainty::Unknown, Reason::Nothing), "once apart is not always");
    let mut overlapped = Evidence::default();
    overlapped.add(&traces(50));
    evidence.merge(&overlapped);
    assert_eq!(judged(&evidence, &in_turn), (Certainty::Independent, Reason::Overlapped { traces: 1 }));
    assert_eq!((evidence.traces(), evidence.dropped()), (4, 0));
}

#[test]
fn evidence_is_of_the_same_parent_and_of_one_clock() {
    let mut evidence = Evidence::default();
    evidence.add(&trace(vec![
        server(1, 0, "other handler", 0, 300),
        client(2, 1, "a", 0, 100),
        client(3, 1, "b", 0, 100),
    ]));
    let fan_out = |one: &str, other: &str| {
        trace(vec![
            server(1, 0, "handler", 0, 300),
            server(2, 1, "a", 0, 100).service(one),
            server(3, 1, "b", 50, 150).service(other),
        ])
    };
    evidence.add(&fan_out("x", "y"));
    assert_eq!(evidence.pairs(), 1);
    let limited = &mut Evidence::with_limit(0);
    limited.add(&fan_out("x", "x"));
    assert_eq!((limited.pairs(), limited.dropped()), (0, 1));
    let in_turn = trace(vec![server(1, 0, "handler", 0, 300), client(2, 1, "a", 0, 100), client(3, 1, "b", 100, 200)]);
    let analysis = Analysis::of(&in_turn, &evidence);
    assert_eq!(analysis.fan_outs()[0].sequences[0].certainty, Certainty::Unknown);
    assert_eq!(in_turn.find(id(9)), None);
}

#[test]
fn of_calls_made_several_times_others_may_have_overlapped() {
    let judged = |again: &str| {
        let trace = trace(vec![
            server(1, 0, "handler", 0, 300),
            client(2, 1, "a", 0, 100),
            client(3, 1, again, 50, 100),
            client(4, 1, "b", 100, 200),
        ]);
        let analysis = analysis(&trace);
        let sequence = analysis.fan_outs()[0].sequences[0].clone();
        assert_eq!(sequence.calls, [find(&trace, 2), find(&trace, 4)]);
        sequence.certainty
    };
    assert_eq!(judged("b"), Certainty::Unknown);
    // One method again and again is told apart by nothing: some ran together, so all could.
    assert_eq!(judged("c"), Certainty::Unknown);
    let pool = (2..8).map(|number| client(number, 1, "GetUser", number / 2 * 100, number / 2 * 100 + 100));
    let fan_out = fan_out([server(1, 0, "handler", 0, 500)].into_iter().chain(pool).collect());
    assert_eq!(fan_out.sequences.len(), 2);
    assert!(fan_out.sequences.iter().all(|sequence| sequence.certainty == Certainty::Independent));
}

#[test]
fn merged_evidence_keeps_as_much_as_there_is_room_for() {
    let evidence = |limit, handlers: std::ops::Range<u32>| {
        let mut evidence = Evidence::with_limit(limit);
        for number in handlers {
            let name = format!("handler {number}");
            let calls = [client(2, 1, "a", 0, 100), client(3, 1, "b", 50, 100)];
            evidence.add(&trace([server(1, 0, &name, 0, 100)].into_iter().chain(calls).collect()));
        }
        evidence
    };
    for (limit, ours, theirs, kept) in [
        // One pair too many makes room for a batch, an eighth of the limit, as it does when traces are added.
        (16, 0..16, 16..17, 15),
        (16, 0..17, 0..0, 15),
        // More than a batch go only if there is no room for them.
        (16, 0..12, 12..24, 16),
        (8, 0..0, 0..20, 8),
        (1, 0..1, 1..2, 1),
        (0, 0..0, 0..2, 0),
    ] {
        let all = u64::from(ours.end.max(theirs.end));
        let mut merged = evidence(limit, ours);
        merged.merge(&evidence(64, theirs));
        assert_eq!((merged.pairs(), merged.dropped()), (kept, all - kept as u64), "of {all}, at most {limit}");
    }
}
