//! Which calls are known to need another one.
//!
//! Three things show it:
//!
//! * a span link from the later call, or from within it, to the earlier one or into it (retries link to the attempt
//!   before);
//! * the attribute `fanout.chain` of calls under one parent: those with one value form a chain, by start;
//! * the attribute `fanout.chains` of the parent, as this project's fan-outs write it: `a > b; c > d` for two chains of
//!   calls with these names.
//!
//! A call that is made inside another one is its child, so it is no sibling of it in the first place.

use std::collections::HashMap;

use super::{
    children::{Call, Children},
    steps::Steps,
};
use crate::{
    analysis::sequence::Reason,
    trace::{SpanIndex, Trace},
};

/// One call needs another one; both by their place in the parent's calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) later: usize,
    pub(crate) earlier: usize,
    pub(crate) because: Reason,
}

/// What calls are known to need.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// By parent. Sorted by the later call.
    under: HashMap<SpanIndex, Vec<Need>>,
    /// How many steps of chains were not read.
    ignored_steps: usize,
}

/// A link is followed up to so many spans above the one that has it.
const CLIMBED: usize = 64;

// === impl Needs ===

impl Needs {
    pub(crate) fn of(trace: &Trace, children: &Children) -> Self {
        let mut needs = Self::default();
        needs.add_links(trace, children);
        for parent in trace.indices() {
            let calls = children.calls(parent);
            if calls.len() > 1 {
                needs.add_chains(trace, parent, calls);
            }
        }
        for needs in needs.under.values_mut() {
            needs.sort_by_key(|need| (need.later, need.earlier));
            needs.dedup_by_key(|need| (need.later, need.earlier));
        }
        needs
    }

    /// Returns what a parent's calls need, by the later call.
    pub(crate) fn under(&self, parent: SpanIndex) -> &[Need] {
        self.under.get(&parent).map_or(&[], Vec::as_slice)
    }

    /// Returns how many steps of chains were not read.
    pub(crate) fn ignored_steps(&self) -> usize {
        self.ignored_steps
    }

    fn add_links(&mut self, trace: &Trace, children: &Children) {
        if trace.spans().iter().all(|span| span.links.is_empty()) {
            return;
        }
        let ends = subtree_ends(trace);
        let mut places = HashMap::new();
        for parent in trace.indices() {
            let calls = children.calls(parent);
            places.extend(calls.iter().enumerate().map(|(place, call)| (call.span, place)));
        }
        for index in trace.indices() {
            for link in &trace.span(index).links {
                let Some(to) = trace.find(link.span_id).filter(|_| link.trace_id == trace.id()) else { continue };
                let Some((parent, later, earlier)) = siblings(trace, &ends, index, to) else { continue };
                if let (Some(later), Some(earlier)) = (places.get(&later), places.get(&earlier)) {
                    self.add(parent, children.calls(parent), *later, *earlier, Reason::Link);
                }
            }
        }
    }

    fn add_chains(&mut self, trace: &Trace, parent: SpanIndex, calls: &[Call]) {
        let mut last = HashMap::new();
        for (place, call) in calls.iter().enumerate() {
            let Some(chain) = trace.span(call.span).attribute("fanout.chain") else { continue };
            if let Some(before) = last.insert(chain.to_string(), place) {
                self.add(parent, calls, place, before, Reason::Chain);
            }
        }
        let Some(chains) = trace.span(parent).attribute("fanout.chains").and_then(|chains| chains.as_text()) else {
            return;
        };
        let mut steps = Steps::of(chains);
        self.ignored_steps += steps.ignored();
        for (place, call) in calls.iter().enumerate() {
            if let Some(earlier) = steps.next(place, &trace.span(call.span).name, call.time) {
                self.add(parent, calls, place, earlier, Reason::Chain);
            }
        }
    }

    /// Adds a need if the times allow it.
    fn add(&mut self, parent: SpanIndex, calls: &[Call], later: usize, earlier: usize, because: Reason) {
        if earlier < later && calls[earlier].time.is_before(calls[later].time) {
            self.under.entry(parent).or_default().push(Need { later, earlier, because });
        }
    }
}

/// Returns the nearest span that contains both, and its children that contain the one and the other.
fn siblings(
    trace: &Trace,
    ends: &[usize],
    mut one: SpanIndex,
    other: SpanIndex,
) -> Option<(SpanIndex, SpanIndex, SpanIndex)> {
    let contains = |span: SpanIndex| span <= other && other.get() < ends[span.get()];
    for _ in 0..CLIMBED {
        let parent = trace.parent(one)?;
        if contains(one) {
            return None;
        }
        if contains(parent) && parent != other {
            // Children are in the order of all spans, unless clocks were set right.
            let sibling = *trace
                .children(parent)
                .get(trace.children(parent).partition_point(|child| *child <= other).checked_sub(1)?)?;
            return Some((parent, one, sibling));
        }
        one = parent;
    }
    None
}

/// Returns where the spans below each one end in the order of all spans.
pub(crate) fn subtree_ends(trace: &Trace) -> Vec<usize> {
    let mut ends = vec![0; trace.spans().len()];
    for index in trace.indices().rev() {
        ends[index.get()] = trace.children(index).last().map_or(index.get() + 1, |last| ends[last.get()]);
    }
    ends
}
