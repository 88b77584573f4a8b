//! Any spans end in figures that hold together, in a time that grows with their number only.

mod builder;

use std::time::Duration;

use builder::{EPOCH, TRACE, With as _, client, id, internal, server};
use overlap::{Analysis, Evidence, Link, Operations, Span, SpanKind, Trace, text};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

/// Checks what holds for any trace.
fn check(trace: &Trace, evidence: &Evidence) -> Result<(), TestCaseError> {
    let analysis = Analysis::of(trace, evidence);
    for fan_out in analysis.fan_outs() {
        let parent = trace.span(fan_out.parent).duration();
        prop_assert!(fan_out.union <= fan_out.wall && fan_out.wall <= parent);
        prop_assert!(fan_out.union <= fan_out.sum);
        prop_assert_eq!(fan_out.saved + fan_out.union, fan_out.sum);
        prop_assert!(fan_out.avoidable <= fan_out.union);
        prop_assert_eq!(fan_out.calls.len(), fan_out.times.len());
        for sequence in &fan_out.sequences {
            prop_assert!(sequence.calls.len() >= 2);
            prop_assert!(sequence.together <= sequence.took && sequence.took <= fan_out.wall);
            prop_assert!(sequence.saves + sequence.together <= sequence.took);
            prop_assert!(sequence.saves <= fan_out.avoidable);
        }
        for overlap in fan_out.overlaps() {
            prop_assert!(overlap.calls >= 2 && overlap.start < overlap.end);
        }
    }
    let mut children = 0;
    for index in trace.indices() {
        prop_assert!(analysis.avoidable_within(index) <= trace.span(index).duration());
        prop_assert!(trace.children(index).iter().all(|child| trace.parent(*child) == Some(index) && *child > index));
        children += trace.children(index).len();
    }
    prop_assert_eq!(children + trace.roots().len(), trace.spans().len());
    // The critical path covers the root without gaps.
    if let Some(root) = trace.root() {
        let root = trace.span(root);
        prop_assert!(analysis.avoidable() <= root.duration());
        let mut at = root.start;
        for segment in analysis.critical_path() {
            prop_assert_eq!(segment.start, at);
            prop_assert!(segment.start < segment.end);
            let span = trace.span(segment.span);
            prop_assert!(span.start <= segment.start && segment.end <= span.end, "{:?} of {:?}", segment, span);
            at = segment.end;
        }
        prop_assert_eq!(at, root.end);
    } else {
        prop_assert!(trace.spans().is_empty());
    }
    let mut operations = Operations::default();
    operations.add(trace, &analysis);
    for operation in operations.ranked() {
        let _ = text::operation(&operation);
        operation.findings.iter().map(text::finding).for_each(drop);
    }
    prop_assert!(!text::verdict(trace, &analysis).is_empty());
    Ok(())
}

/// Returns a time: mostly near others, so that many are equal, sometimes far out.
fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0_u64..12).prop_map(|at| EPOCH + at * 1_000_000),
        3 => (0_u64..40_000_000).prop_map(|at| EPOCH + at),
        1 => prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()],
    ]
}

fn any_span() -> impl Strategy<Value = Span> {
    let kind = prop_oneof![
        1 => Just(SpanKind::Unspecified),
        3 => Just(SpanKind::Internal),
        2 => Just(SpanKind::Server),
        4 => Just(SpanKind::Client),
        1 => Just(SpanKind::Producer),
        1 => Just(SpanKind::Consumer),
    ];
    let names = (0_usize..2, 0_usize..3);
    let links = proptest::collection::vec(0_u64..12, 0..3);
    (0_u64..12, 0_u64..12, kind, names, time(), time(), links, 0_u8..8).prop_map(
        |(number, parent, kind, (service, name), start, end, links, chain)| {
            let mut span = internal(number, parent, ["a", "b", "c"][name], 0, 0);
            (span.kind, span.service) = (kind, ["app", "backend"][service].into());
            // Most are in order.
            (span.start, span.end) = if chain == 7 { (start, end) } else { (start.min(end), start.max(end)) };
            span.links = links.into_iter().map(|to| Link { trace_id: TRACE, span_id: id(to) }).collect();
            match chain {
                0 => span.attributes.push(("fanout.chain".into(), overlap::Value::Int(1))),
                1 => span.attributes.push(("fanout.chains".into(), "a > b > c; b > a; c > c".into())),
                2 => span.attributes.push(("db.query.text".into(), "SELECT a FROM b".into())),
                3 => span.attributes.push(("fanout.attempt".into(), overlap::Value::Int((start % 4).cast_signed()))),
                _ => {}
            }
            span
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_spans_end_in_figures_that_hold_together(
        spans in proptest::collection::vec(any_span(), 0..24),
        others in proptest::collection::vec(any_span(), 0..12),
    ) {
        let mut evidence = Evidence::default();
        evidence.add(&Trace::new(TRACE, others));
        check(&Trace::new(TRACE, spans), &evidence)?;
    }

    #[test]
    fn the_order_of_spans_makes_no_difference(
        spans in proptest::collection::vec(any_span(), 0..12),
        seed in any::<u64>(),
    ) {
        // Of duplicates the last counts, so there are none here.
        let mut unique: Vec<Span> = Vec::new();
        for span in spans {
            if !span.span_id.is_zero() && unique.iter().all(|other| other.span_id != span.span_id) {
                unique.push(span);
            }
        }
        let mut other = unique.clone();
        let len = other.len().max(1);
        other.rotate_left(usize::try_from(seed % len as u64).unwrap_or_default());
        other.reverse();
        let (one, other) = (Trace::new(TRACE, unique), Trace::new(TRACE, other));
        prop_assert_eq!(one.spans(), other.spans());
    }
}

/// Returns how long the whole analysis computes, the faster of two runs.
fn measure(spans: &[Span]) -> Duration {
    let computed = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let run = || {
        let spans = spans.to_vec();
        let start = computed();
        let trace = Trace::new(TRACE, spans);
        check(&trace, &Evidence::default()).expect("any trace holds together");
        computed().saturating_sub(start)
    };
    (0..2).map(|_| run()).min().unwrap_or_default()
}

/// Ten times as many spans take at most 40 times as long: `n log n`, and caches that no longer hold them; not `n²`, which
/// would be 100.
#[track_caller]
fn grows_with_its_size(spans: impl Fn(u64) -> Vec<Span>, many: u64) {
    let (few, many) = (measure(&spans(many / 10)), measure(&spans(many)));
    assert!(many < few * 40, "{few:?} for a tenth, {many:?} for all");
}

#[test]
fn a_hundred_thousand_calls_together() {
    let spans = |count: u64| {
        let calls = (0..count).map(|number| client(number + 2, 1, "call", number % 100, 100 + number % 999));
        [server(1, 0, "root", 0, 2000)].into_iter().chain(calls).collect()
    };
    grows_with_its_size(spans, 100_000);
}

#[test]
fn a_hundred_thousand_calls_in_turn() {
    let spans = |count: u64| {
        let calls = (0..count).map(|number| client(number + 2, 1, "call", number, number + 1));
        [server(1, 0, "root", 0, count)].into_iter().chain(calls).collect()
    };
    grows_with_its_size(spans, 100_000);
}

#[test]
fn a_hundred_thousand_different_calls_with_links_to_all_sides() {
    let spans = |count: u64| {
        let call = |number: u64| {
            let start = number * 7919 % count;
            let mut call = client(number + 2, 1, &format!("call {number}"), start, start + 1 + number % 50);
            call.links = (0..4).map(|to| Link { trace_id: TRACE, span_id: id((number * 31 + to) % count) }).collect();
            call
        };
        [server(1, 0, "root", 0, 2 * count)].into_iter().chain((0..count).map(call)).collect()
    };
    grows_with_its_size(spans, 100_000);
}

#[test]
fn forty_thousand_deep() {
    // 4 times 10,000, in turn a call and the server that answers it.
    let spans = |count: u64| {
        let level = |number: u64| {
            let span = if number.is_multiple_of(2) { client } else { server };
            let mut span = span(number + 1, number, "call", number, 2 * count - number);
            span.service = format!("service {}", number / 2).into();
            span
        };
        (0..count).map(level).collect()
    };
    grows_with_its_size(spans, 40_000);
}

#[test]
fn each_outlives_its_parent_forty_thousand_deep() {
    let spans = |count: u64| {
        let level = |number: u64| internal(number + 2, number.max(1), "task", number * 3, number * 3 + 10);
        [server(1, 0, "root", 0, 3 * count + 99)].into_iter().chain((0..count).map(level)).collect()
    };
    grows_with_its_size(spans, 40_000);
}

#[test]
fn many_that_outlive_a_deep_chain() {
    let spans = |count: u64| {
        let (deep, end) = (count / 2, 10 * count);
        let chain = (0..deep).map(|number| internal(number + 1, number, "task", number, end - number * 4));
        let late = (0..deep)
            .map(|number| client(deep + number + 1, deep, "late", deep + number, end - (number % deep) * 4 - 2));
        chain.chain(late).collect()
    };
    grows_with_its_size(spans, 40_000);
}

#[test]
fn one_cycle_of_a_hundred_thousand() {
    let spans = |count: u64| {
        (0..count).map(|number| internal(number + 1, (number + 1) % count + 1, "x", number, number + 5)).collect()
    };
    grows_with_its_size(spans, 100_000);
}

#[test]
fn the_same_span_a_hundred_thousand_times() {
    let spans = |count: u64| (0..count).map(|number| client(1 + number % 2, 2, "x", 5, 5 + number % 7)).collect();
    grows_with_its_size(spans, 100_000);
    let without_ids = |count: u64| (0..count).map(|number| internal(0, 0, "x", number, number)).collect();
    grows_with_its_size(without_ids, 100_000);
}

#[test]
fn a_chain_of_a_hundred_thousand_calls_of_two_names() {
    let spans = |count: u64| {
        let chains = vec!["a > b"; usize::try_from(count / 2).unwrap_or_default()].join("; ");
        let root = server(1, 0, "root", 0, count + 9);
        let call = |number: u64| {
            // All of the first before any of the second.
            let name = if number < count / 2 { "a" } else { "b" };
            client(number + 2, 1, name, number, number + 1)
        };
        [root.attribute("fanout.chains", (&*chains).into())].into_iter().chain((0..count).map(call)).collect()
    };
    grows_with_its_size(spans, 100_000);
}

#[test]
fn chains_of_ten_thousand_different_names() {
    let spans = |count: u64| {
        let names: Vec<_> =
            (0..count).flat_map(|number| [format!("a{number} > b"), format!("b > a{number}")]).collect();
        let root = server(1, 0, "root", 0, 3 * count).attribute("fanout.chains", (&*names.join("; ")).into());
        let calls = (0..count).map(|number| {
            let name = if number % 2 == 0 { format!("a{number}") } else { "b".to_owned() };
            client(number + 2, 1, &name, number, number + 1)
        });
        [root].into_iter().chain(calls).collect()
    };
    grows_with_its_size(spans, 20_000);
}

#[test]
fn shared_ids_whose_substitutes_are_taken() {
    let spans = |count: u64| {
        // Each id is shared, and all that could take its place are there.
        let shared = (1..=count / 4)
            .flat_map(|number| [client(number, 0, "call", 1, 9), server(number, 0, "handle", 2, 8).service("backend")]);
        let taken = (0..=count / 2).map(|number| internal((1 << 63) + number, 0, "taken", 1, 9));
        shared.chain(taken).collect()
    };
    grows_with_its_size(spans, 40_000);
    let without_ids = |count: u64| {
        let taken = (0..=count).map(|number| internal((1 << 63) + number, 0, "taken", 1, 9));
        taken.chain((0..count).map(|_| internal(0, 0, "x", 1, 9))).collect()
    };
    grows_with_its_size(without_ids, 20_000);
}
