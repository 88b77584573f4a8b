//! The figures of one span's calls.

use std::{ops::Range, time::Duration};

use super::{
    Input,
    children::{Call, time},
    needs::Need,
    sequence::{self, Sequence},
};
use crate::{call::is_call, closeness::Interval, trace::SpanIndex};

/// How the calls of one span overlapped.
///
/// All figures count what is within the span. For calls with the intervals `c`, and `|…|` for a duration:
///
/// ```text
/// wall      = last end - first start
/// sum       = |c1| + |c2| + …           what awaiting them one by one would take
/// union     = |c1 ∪ c2 ∪ …|             the time in which at least one ran; wall - union is the span's own
/// saved     = sum - union               what overlapping saved
/// avoidable = union - longest chain     what joining would still save, if no call needs another one
///                                       unless that is known; a chain of calls that do takes its sum
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct FanOut {
    /// The span that made the calls.
    pub parent: SpanIndex,
    /// The calls by start: children that are calls, or that contain calls of the same program.
    pub calls: Vec<SpanIndex>,
    /// When each call ran, within the parent, in nanoseconds since the Unix epoch. Of a child that contains calls, the
    /// time from its first call's start to its last call's end.
    pub times: Vec<Range<u64>>,
    /// The time from the first call's start to the last call's end.
    pub wall: Duration,
    /// The sum of the calls' durations.
    pub sum: Duration,
    /// The time in which at least one call ran.
    pub union: Duration,
    /// What overlapping saved.
    pub saved: Duration,
    /// What joining would still save, if no call needs another one unless that is known. Calls that outlive the parent
    /// do not count: nobody waits for them.
    pub avoidable: Duration,
    /// Groups of calls that ran one after another, by start.
    pub sequences: Vec<Sequence>,
}

/// A time in which two calls or more ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Overlap {
    /// The start in nanoseconds since the Unix epoch.
    pub start: u64,
    /// The end in nanoseconds since the Unix epoch.
    pub end: u64,
    /// The largest number of calls that ran at once in this time.
    pub calls: usize,
}

// === impl FanOut ===

impl FanOut {
    /// Returns the figures of a span; `None` if it made no calls, or if its only call contains them.
    pub(super) fn of(input: &Input<'_>, parent: SpanIndex) -> Option<Self> {
        let calls = input.children.calls(parent);
        let first = calls.first()?;
        if calls.len() == 1 && !is_call(input.trace.span(first.span), input.trace.span(parent)) {
            return None;
        }
        debug_assert!(calls.iter().all(|call| call.time == call.time.within(time(input.trace, parent))));
        let wall = calls.iter().map(|call| call.time).reduce(Interval::around).map_or(0, Interval::nanos);
        let sum: u128 = calls.iter().map(|call| u128::from(call.time.nanos())).sum();
        let union = union(calls.iter().map(|call| call.time));
        let avoidable = avoidable(calls, input.needs.under(parent), |call| call.time.nanos());
        Some(Self {
            parent,
            calls: calls.iter().map(|call| call.span).collect(),
            times: calls.iter().map(|call| call.time.start..call.time.end).collect(),
            wall: Duration::from_nanos(wall),
            sum: Duration::from_nanos_u128(sum),
            union: Duration::from_nanos(union),
            saved: Duration::from_nanos_u128(sum - u128::from(union)),
            avoidable: Duration::from_nanos(avoidable),
            sequences: sequence::of(input, parent, avoidable),
        })
    }

    /// Returns the times in which two calls or more ran, by start.
    pub fn overlaps(&self) -> Vec<Overlap> {
        // Ends before starts at one instant: calls back to back do not overlap.
        let mut edges: Vec<(u64, bool)> = self
            .times
            .iter()
            .filter(|time| !time.is_empty())
            .flat_map(|time| [(time.start, true), (time.end, false)])
            .collect();
        edges.sort_unstable();
        let (mut running, mut overlaps) = (0_usize, Vec::<Overlap>::new());
        let mut open: Option<Overlap> = None;
        for (at, is_start) in edges {
            running = if is_start { running + 1 } else { running.saturating_sub(1) };
            match &mut open {
                Some(overlap) if running < 2 => {
                    overlap.end = at;
                    overlaps.extend(open.take());
                }
                Some(overlap) => overlap.calls = overlap.calls.max(running),
                None if running >= 2 => open = Some(Overlap { start: at, end: at, calls: running }),
                None => {}
            }
        }
        overlaps
    }
}

/// Returns the time in which at least one of these ran. They are sorted by start.
pub(super) fn union(times: impl Iterator<Item = Interval>) -> u64 {
    let (mut covered, mut until) = (0, 0);
    for time in times {
        covered += time.end.saturating_sub(time.start.max(until));
        until = until.max(time.end);
    }
    covered
}

/// Returns what joining the calls that were waited for would save: their union less the longest chain, where a call
/// takes as long as `takes` says.
pub(super) fn avoidable(calls: &[Call], needs: &[Need], takes: impl Fn(&Call) -> u64) -> u64 {
    let awaited = calls.iter().filter(|call| call.is_awaited);
    let union = union(awaited.map(|call| call.time));
    union.saturating_sub(longest_chain(calls, needs, takes))
}

fn longest_chain(calls: &[Call], needs: &[Need], takes: impl Fn(&Call) -> u64) -> u64 {
    let awaited = |call: &Call| if call.is_awaited { takes(call) } else { 0 };
    if needs.is_empty() {
        return calls.iter().map(awaited).max().unwrap_or_default();
    }
    // The longest chain up to the end of each call. What a call needs is before it.
    let mut chains: Vec<u64> = Vec::with_capacity(calls.len());
    let mut needs = needs.iter().peekable();
    for (place, call) in calls.iter().enumerate() {
        let mut before = 0;
        while let Some(need) = needs.next_if(|need| need.later <= place) {
            before = before.max(chains[need.earlier]);
        }
        chains.push(before.saturating_add(awaited(call)));
    }
    chains.into_iter().max().unwrap_or_default()
}
