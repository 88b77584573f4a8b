//! Which spans of a trace are drawn.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use overlap::{Segment, SpanIndex};

use super::report::Analyzed;

/// Deeper spans are indented as these.
const MAX_INDENT: usize = 8;

/// Returns the spans that get a row, in the order of the trace: all, or if they are many, those that matter.
pub(super) fn rows(it: &Analyzed, most: usize) -> Vec<SpanIndex> {
    let all: Vec<_> = it.trace.indices().collect();
    if all.len() <= most {
        return all;
    }
    let on_path: HashMap<SpanIndex, u64> =
        it.analysis.critical_path().iter().fold(HashMap::new(), |mut times, part| {
            *times.entry(part.span).or_default() += part.end - part.start;
            times
        });
    // The calls of sequences that cost most, then the critical path, then the longest.
    let mut wanted: Vec<SpanIndex> = it.trace.root().into_iter().collect();
    for (parent, sequence) in it.sequences() {
        wanted.push(parent);
        wanted.extend(sequence.calls.iter().take(most / 4));
    }
    let mut others = all;
    others.sort_by_key(|span| (Reverse(on_path.get(span).copied()), Reverse(it.trace.span(*span).nanos()), *span));
    let mut rows = BTreeSet::new();
    for span in wanted.into_iter().chain(others) {
        if rows.len() == most {
            break;
        }
        rows.insert(span);
    }
    rows.into_iter().collect()
}

/// Returns the parts of the critical path by span.
pub(super) fn segments(it: &Analyzed) -> HashMap<SpanIndex, Vec<Segment>> {
    let mut by_span: HashMap<SpanIndex, Vec<Segment>> = HashMap::new();
    for segment in it.analysis.critical_path() {
        by_span.entry(segment.span).or_default().push(*segment);
    }
    by_span
}

/// Returns how far a span is indented.
pub(super) fn indent_level(it: &Analyzed, span: SpanIndex) -> usize {
    it.trace.depth(span).min(MAX_INDENT)
}
