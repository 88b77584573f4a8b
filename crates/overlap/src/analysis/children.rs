//! The children of each span, as the analysis sees them: the calls among them, and when they ran.

use std::collections::{HashMap, HashSet};

use crate::{
    call::{attempt, is_call, is_wrapper},
    closeness::Interval,
    trace::{SpanIndex, Trace},
};

/// A call of a span: a child that is a call, or that contains calls of the same program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) span: SpanIndex,
    /// From its first call's start to its last call's end if it contains calls: what the program itself does before and
    /// after cannot be joined. Within its parent.
    pub(crate) time: Interval,
    /// Whether it ends before its parent does, or [a little](Interval::ends_after) later. Nobody waited for others.
    pub(crate) is_awaited: bool,
}

/// An attempt is compared with so many calls of its name, the latest.
const RECENT: usize = 32;

/// The children of all spans of a trace.
pub(crate) struct Children {
    calls: Vec<Call>,
    /// Where each span's calls are in `calls`.
    calls_of: Vec<(u32, u32)>,
    /// All children by start, with the times that calls have.
    compared: Vec<(SpanIndex, Interval)>,
    compared_of: Vec<(u32, u32)>,
}

// === impl Children ===

impl Children {
    pub(crate) fn of(trace: &Trace) -> Self {
        let len = trace.spans().len();
        let mut children = Self {
            calls: Vec::new(),
            calls_of: vec![(0, 0); len],
            compared: Vec::with_capacity(len),
            compared_of: vec![(0, 0); len],
        };
        // From the first start to the last end of the calls within a span.
        let mut around: Vec<Option<Interval>> = vec![None; len];
        // Children are after their parents.
        for parent in trace.indices().rev() {
            around[parent.get()] = children.add(trace, parent, &around);
        }
        children
    }

    /// Adds a span's children and returns the interval around the calls among them.
    fn add(&mut self, trace: &Trace, parent: SpanIndex, around: &[Option<Interval>]) -> Option<Interval> {
        let outer = time(trace, parent);
        let (from, compared_from) = (self.calls.len(), self.compared.len());
        for child in trace.children(parent) {
            let (span, whole) = (trace.span(*child), time(trace, *child));
            let call = if is_call(span, trace.span(parent)) {
                Some(whole)
            } else if is_wrapper(span, trace.span(parent)) {
                around[child.get()]
            } else {
                None
            };
            self.compared.push((*child, call.unwrap_or(whole)));
            // What starts after the parent's end is no part of it.
            if let Some(time) = call.filter(|time| time.start < outer.end || time.start == outer.start) {
                let is_awaited = !time.ends_after(outer);
                self.calls.push(Call { span: *child, time: time.within(outer), is_awaited });
            }
        }
        let mut calls = self.calls.split_off(from);
        calls.sort_by_key(|call| (call.time.start, call.time.end));
        let attempts = join_attempts(trace, &mut calls);
        if !attempts.is_empty() {
            let joined =
                self.compared.split_off(compared_from).into_iter().filter(|(span, _)| !attempts.contains(span));
            self.compared.extend(joined);
        }
        self.calls.append(&mut calls);
        let calls = &self.calls[from..];
        self.compared[compared_from..].sort_by_key(|(_, time)| (time.start, time.end));
        let around = calls.iter().map(|call| call.time).reduce(Interval::around);
        self.calls_of[parent.get()] = range(from, self.calls.len());
        self.compared_of[parent.get()] = range(compared_from, self.compared.len());
        around
    }

    /// Returns a span's calls by start.
    pub(crate) fn calls(&self, parent: SpanIndex) -> &[Call] {
        let (from, to) = self.calls_of[parent.get()];
        &self.calls[from as usize..to as usize]
    }

    /// Returns all of a span's children by start.
    pub(crate) fn compared(&self, parent: SpanIndex) -> &[(SpanIndex, Interval)] {
        let (from, to) = self.compared_of[parent.get()];
        &self.compared[from as usize..to as usize]
    }
}

/// Makes one call of all attempts at it: retries and hedges. The first one's span stands for it, from the first start to
/// the last end. Returns the other spans.
fn join_attempts(trace: &Trace, calls: &mut Vec<Call>) -> HashSet<SpanIndex> {
    let number = |call: &Call| attempt(trace.span(call.span)).unwrap_or(1);
    let mut joined = HashSet::new();
    if calls.iter().all(|call| number(call) <= 1) {
        return joined;
    }
    // The calls of each name so far: the place, the number of the last attempt, and when that ran.
    let mut open: HashMap<&str, Vec<(usize, u64, Interval)>> = HashMap::new();
    let mut kept: Vec<Call> = Vec::with_capacity(calls.len());
    for call in calls.iter() {
        let (number, open) = (number(call), open.entry(&trace.span(call.span).name).or_default());
        let recent = open.iter_mut().rev().take(RECENT).filter(|(_, last, _)| number > 1 && *last == number - 1);
        // A retry follows what has ended; a hedge runs beside what has not.
        let best = recent.max_by_key(|(_, _, time)| (time.is_before(call.time), time.end));
        if let Some(open) = best {
            let first = &mut kept[open.0];
            (first.time, first.is_awaited) = (first.time.around(call.time), first.is_awaited && call.is_awaited);
            (open.1, open.2) = (number, call.time);
            joined.insert(call.span);
        } else {
            open.push((kept.len(), number, call.time));
            kept.push(*call);
        }
    }
    *calls = kept;
    joined
}

fn range(from: usize, to: usize) -> (u32, u32) {
    // A trace has no more spans than can be numbered.
    let number = |place| u32::try_from(place).unwrap_or(u32::MAX);
    (number(from), number(to))
}

pub(crate) fn time(trace: &Trace, span: SpanIndex) -> Interval {
    Interval::of(trace.span(span))
}
