//! Groups of calls that ran one after another.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{Input, children::Call, needs::Need};
use crate::{
    call::{Identity, is_read_without_parameters, is_write},
    closeness::{Order, touch},
    evidence::Relation,
    trace::SpanIndex,
};

/// Calls under one parent that ran one after another, with small pauses: at most 10 ms, or a quarter of the shorter
/// neighbour if that is more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Sequence {
    /// The calls by start; at least two.
    pub calls: Vec<SpanIndex>,
    /// The time from the first call's start to the last call's end.
    pub took: Duration,
    /// The time that they would take together: the longest chain of calls that are known to need one another, and the
    /// program's own time between the calls.
    pub together: Duration,
    /// What joining them would save of the parent's time: at most `took - together`, and no more than the fan-out's
    /// `avoidable`. Zero if something else takes as long beside them.
    pub saves: Duration,
    /// Whether the later calls need the earlier ones.
    pub certainty: Certainty,
    /// What shows it.
    pub because: Reason,
    /// The call that is repeated, if one is at least three times among them ("N+1").
    pub repeated: Option<Repeated>,
}

/// Whether later calls need earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Certainty {
    /// They do not: joining them is safe as far as the traces show.
    Independent,
    /// They do: nothing is to be saved.
    Dependent,
    /// Nothing shows it: what is said holds if they do not.
    Unknown,
}

/// What shows whether later calls need earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Reason {
    /// Dependent: the program says so by `fanout.chain` or `fanout.chains`.
    Chain,
    /// Dependent: the later call links to the earlier one.
    Link,
    /// Independent: the calls have run at the same time in so many traces.
    Overlapped {
        /// The number of traces; of several pairs the smallest.
        traces: u32,
    },
    /// Independent: the later call reads something for which it needs no value, and nothing was changed before.
    WithoutParameters,
    /// Unknown, but no coincidence: in all of so many traces the later call started within a hair of the earlier one's
    /// end, so the program awaits one and then makes the other.
    AwaitedInTurn {
        /// The number of traces; of several pairs the smallest.
        traces: u32,
    },
    /// Unknown: nothing was seen that shows it.
    Nothing,
}

/// A call that is made again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Repeated {
    /// The first of them.
    pub call: SpanIndex,
    /// How often it is made.
    pub times: usize,
}

/// So many calls of one kind in a sequence are repetitions.
const REPEATED: usize = 3;
/// So many different calls of a sequence are compared with one another; of more nothing is said for certain.
const COMPARED: usize = 16;

/// Returns the sequences among a parent's calls, by start.
pub(super) fn of(input: &Input<'_>, parent: SpanIndex, avoidable: u64) -> Vec<Sequence> {
    let calls = input.children.calls(parent);
    let needs = input.needs.under(parent);
    let lanes = lanes(calls);
    let mut counts = HashMap::new();
    for call in calls {
        *counts.entry(input.identities[call.span.get()]).or_insert(0) += 1;
    }
    let lanes = lanes.iter().filter(|lane| lane.len() > 1);
    lanes.map(|places| Lane { input, parent, calls, needs, places, counts: &counts }.sequence(avoidable)).collect()
}

/// Distributes calls to as few lanes as possible, each of which holds calls that ran in turn: a call goes after the one
/// that ended last before its start.
fn lanes(calls: &[Call]) -> Vec<Vec<usize>> {
    let mut lanes: Vec<Vec<usize>> = Vec::new();
    // The end of each lane that can go on, and how long its last call took: of several that end together, the longest.
    let mut ends: BTreeSet<(u64, u64, usize)> = BTreeSet::new();
    for (place, call) in calls.iter().enumerate().filter(|(_, call)| call.is_awaited) {
        let latest = call.time.start.saturating_add(touch(u64::MAX));
        let last = |lane: usize| lanes[lane].last().map(|last| calls[*last].time);
        let follows = |(_, _, lane): &&(u64, u64, usize)| {
            last(*lane).is_some_and(|last| matches!(last.order(call.time), Order::WithinHair | Order::WithinPause))
        };
        // Further ones ended earlier: if none of the latest few is near, none is.
        let found = ends.range(..=(latest, u64::MAX, usize::MAX)).rev().take(8).find(follows).copied();
        let lane = if let Some(end @ (_, _, lane)) = found {
            ends.remove(&end);
            lanes[lane].push(place);
            lane
        } else {
            lanes.push(vec![place]);
            lanes.len() - 1
        };
        ends.insert((call.time.end, call.time.nanos(), lane));
    }
    lanes
}

/// One sequence while it is judged.
struct Lane<'a> {
    input: &'a Input<'a>,
    parent: SpanIndex,
    calls: &'a [Call],
    needs: &'a [Need],
    places: &'a [usize],
    /// How often the parent makes each call.
    counts: &'a HashMap<Identity, usize>,
}

// === impl Lane ===

impl Lane<'_> {
    fn sequence(&self, avoidable: u64) -> Sequence {
        let times = || self.places.iter().map(|place| self.calls[*place].time);
        let start = times().map(|time| time.start).min().unwrap_or_default();
        let end = times().map(|time| time.end).max().unwrap_or_default();
        let (needed, chain) = self.needed();
        let saving = super::fan_out::union(times()).saturating_sub(chain);
        let (certainty, because) = self.judge(&needed);
        Sequence {
            calls: self.places.iter().map(|place| self.calls[*place].span).collect(),
            took: Duration::from_nanos(end - start),
            together: Duration::from_nanos(end - start - saving.min(end - start)),
            saves: Duration::from_nanos(saving.min(avoidable)),
            certainty,
            because,
            repeated: self.repeated(),
        }
    }

    /// Returns what the call at each place of the lane needs of the lane, as the latest such place and the reason; and
    /// the longest chain.
    fn needed(&self) -> (Vec<Option<(usize, super::Reason)>>, u64) {
        let mut needed = vec![None; self.places.len()];
        let mut chains: Vec<u64> = Vec::with_capacity(self.places.len());
        for (at, place) in self.places.iter().enumerate() {
            let from = self.needs.partition_point(|need| need.later < *place);
            let mut before = 0;
            for need in self.needs[from..].iter().take_while(|need| need.later == *place) {
                if let Ok(earlier) = self.places.binary_search(&need.earlier) {
                    before = before.max(chains[earlier]);
                    needed[at] = needed[at].max(Some((earlier, need.because)));
                }
            }
            chains.push(before.saturating_add(self.calls[*place].time.nanos()));
        }
        (needed, chains.into_iter().max().unwrap_or_default())
    }

    /// Says whether the calls need one another.
    fn judge(&self, needed: &[Option<(usize, Reason)>]) -> (Certainty, Reason) {
        // Each call needs the one before.
        let in_chain =
            needed.iter().enumerate().skip(1).map(|(at, need)| need.filter(|(earlier, _)| earlier + 1 == at));
        if let Some(reasons) = in_chain.collect::<Option<Vec<_>>>() {
            let because = reasons.iter().map(|(_, because)| *because).min().unwrap_or(Reason::Nothing);
            return (Certainty::Dependent, because);
        }
        match self.independent(needed) {
            Some(because) => (Certainty::Independent, because),
            None => (Certainty::Unknown, self.awaited_in_turn(needed).unwrap_or(Reason::Nothing)),
        }
    }

    /// Returns why no call needs an earlier one, apart from those that are known to.
    fn independent(&self, needed: &[Option<(usize, Reason)>]) -> Option<Reason> {
        // The different calls so far, each with the last place where it is.
        let mut before: Vec<(Identity, usize)> = Vec::new();
        let (mut changed, mut because) = (false, None);
        for (at, place) in self.places.iter().enumerate() {
            let call = self.calls[*place].span;
            let (identity, span) = (self.identity(call), self.input.trace.span(call));
            let needs_nothing = !changed && is_read_without_parameters(span);
            for (earlier, last) in &before {
                if needed[at].is_some_and(|(needed, _)| needed == *last) {
                    continue;
                }
                // Of different calls that are made several times, others than these may have overlapped.
                let is_told_apart =
                    *earlier == identity || [earlier, &identity].iter().all(|call| self.counts.get(call) == Some(&1));
                let reason = match self.relation(*earlier, identity) {
                    Relation::Overlapped { traces } if is_told_apart => Reason::Overlapped { traces },
                    _ if needs_nothing => Reason::WithoutParameters,
                    _ => return None,
                };
                because = Some(because.map_or(reason, |because| weaker(because, reason)));
            }
            match before.iter().position(|(known, _)| *known == identity) {
                Some(known) => before[known].1 = at,
                None if before.len() < COMPARED => before.push((identity, at)),
                None => return None,
            }
            changed |= is_write(span);
        }
        because
    }

    /// Returns whether each call that is not known to need the one before has always started within a hair of its end.
    fn awaited_in_turn(&self, needed: &[Option<(usize, Reason)>]) -> Option<Reason> {
        let mut least = None;
        for (at, pair) in self.places.windows(2).enumerate() {
            if needed[at + 1].is_some() {
                continue;
            }
            let [first, second] = [pair[0], pair[1]].map(|place| self.identity(self.calls[place].span));
            let Relation::AwaitedInTurn { traces } = self.relation(first, second) else { return None };
            least = Some(least.map_or(traces, |least: u32| least.min(traces)));
        }
        least.map(|traces| Reason::AwaitedInTurn { traces })
    }

    fn repeated(&self) -> Option<Repeated> {
        let mut seen: HashMap<Identity, Repeated> = HashMap::new();
        for place in self.places {
            let call = self.calls[*place].span;
            seen.entry(self.identity(call)).or_insert(Repeated { call, times: 0 }).times += 1;
        }
        let most = seen.into_values().max_by_key(|repeated| (repeated.times, std::cmp::Reverse(repeated.call)));
        most.filter(|repeated| repeated.times >= REPEATED)
    }

    fn identity(&self, span: SpanIndex) -> Identity {
        self.input.identities[span.get()]
    }

    fn relation(&self, first: Identity, second: Identity) -> Relation {
        self.input.relation(self.parent, first, second)
    }
}

/// Returns the reason of the two that shows less.
fn weaker(one: Reason, other: Reason) -> Reason {
    match (one, other) {
        (Reason::Overlapped { traces: one }, Reason::Overlapped { traces: other }) => {
            Reason::Overlapped { traces: one.min(other) }
        }
        (Reason::Overlapped { .. }, other) => other,
        (one, _) => one,
    }
}

// === impl Certainty ===

impl Certainty {
    /// Returns the name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Dependent => "dependent",
            Self::Unknown => "unknown",
        }
    }
}
