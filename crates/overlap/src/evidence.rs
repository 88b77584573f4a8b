//! What many traces have shown about pairs of calls.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use foldhash::{SharedSeed, fast::SeedableRandomState};

use crate::{
    analysis::children::Children,
    call::Identity,
    closeness::{Interval, Order},
    forget::{Known, batch, forget},
    trace::{SpanIndex, Trace},
};

/// What many traces have shown about pairs of calls under one kind of parent.
///
/// Calls are the same call if service, name, kind, peer, method and statement (without its values) are the same. Under
/// one parent, two different calls either
///
/// * ran at the same time, at least once: neither waited for the other, so neither needs the other; or
/// * always ran in turn. If the second always starts within a hair of the first's end (1 ms, or 1 % of the first if
///   that is more), the program awaits one and then makes the other; whether it has to is not shown by that.
///
/// Memory is bounded: above the limit, pairs are forgotten that one trace alone has shown, then those that were not seen for
/// longest; see [`dropped`](Self::dropped).
#[derive(Clone, Debug)]
pub struct Evidence {
    pairs: HashMap<Pair, Seen, SeedableRandomState>,
    limit: usize,
    dropped: u64,
    traces: u64,
}

/// Two calls under one kind of parent, the smaller identity first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pair {
    parent: Identity,
    low: Identity,
    high: Identity,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The number of traces in which they ran at the same time.
    overlapped: Count,
    /// How often the higher started after the lower's end, and how often within a hair.
    upward: Count,
    upward_close: u32,
    /// The same the other way round.
    downward: Count,
    downward_close: u32,
}

/// A number of traces; the last one is remembered, so that each counts once.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    traces: u32,
    last: u64,
}

/// What is known about a pair of calls, of which the second ran after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// They ran at the same time in so many traces.
    Overlapped { traces: u32 },
    /// The second started within a hair of the first's end in all of so many traces.
    AwaitedInTurn { traces: u32 },
    /// Nothing.
    Unknown,
}

/// So many traces have to agree before "always" is said.
const ALWAYS: u32 = 3;
/// So many different calls under one parent are compared; others are not.
const COMPARED: usize = 16;
const LIMIT: usize = 1 << 16;

/// Returns a hasher with a secret: without one, who names spans could choose names of which all pairs collide.
///
/// The standard hasher makes the analysis of a trace and its evidence take 1.7 times as long for 16 calls. This one does not
/// resist somebody who learns the secret by timing many lookups of single pairs, which nobody who sends spans can see: those
/// of a trace are looked up together.
fn secret() -> SeedableRandomState {
    // The crate's own secret is made of addresses and the time.
    static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(random()));
    SeedableRandomState::with_seed(random(), &SHARED)
}

/// Returns a number that the standard library's secret makes.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

// === impl Evidence ===

impl Default for Evidence {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Evidence {
    /// Returns evidence of at most so many pairs. Each takes about 100 bytes; the default is 65,536.
    pub fn with_limit(pairs: usize) -> Self {
        Self { pairs: HashMap::with_hasher(secret()), limit: pairs, dropped: 0, traces: 0 }
    }

    /// Adds what a trace shows. Adding one twice counts it twice.
    pub fn add(&mut self, trace: &Trace) {
        let children = Children::of(trace);
        let identities: Vec<_> = trace.spans().iter().map(Identity::of).collect();
        self.add_children(trace, &children, &identities);
    }

    pub(crate) fn add_children(&mut self, trace: &Trace, children: &Children, identities: &[Identity]) {
        self.traces += 1;
        for parent in trace.indices() {
            let children = children.compared(parent);
            if children.len() > 1 {
                self.add_siblings(trace, identities[parent.get()], children, identities);
            }
        }
    }

    /// Adds what other traces have shown; for one that was analysed, that is
    /// [`Analysis::evidence`](crate::Analysis::evidence).
    pub fn merge(&mut self, other: &Self) {
        // Traces of the other are no traces of this one.
        let offset = self.traces;
        self.traces += other.traces;
        self.dropped += other.dropped;
        for (pair, theirs) in &other.pairs {
            self.pairs.entry(*pair).or_default().merge(theirs, offset);
        }
        // Not before all are there, so that their order makes no difference.
        let excess = self.pairs.len().saturating_sub(self.limit);
        if excess > 0 {
            // No fewer than a batch, because each trace that is analysed is merged.
            self.forget(excess.max(batch(self.limit)));
        }
    }

    /// Returns the number of traces that were added.
    pub fn traces(&self) -> u64 {
        self.traces
    }

    /// Returns the number of pairs that are kept.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Returns how many pairs were forgotten because the limit was reached, or not looked at because their parent makes too
    /// many different calls.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns what is known about two calls under a parent.
    pub(crate) fn relation(&self, parent: Identity, first: Identity, second: Identity) -> Relation {
        let Some(seen) = self.pairs.get(&Pair::new(parent, first, second)) else { return Relation::Unknown };
        let (forward, close, backward) = if first <= second {
            (seen.upward.traces, seen.upward_close, seen.downward.traces)
        } else {
            (seen.downward.traces, seen.downward_close, seen.upward.traces)
        };
        if seen.overlapped.traces > 0 {
            Relation::Overlapped { traces: seen.overlapped.traces }
        } else if forward >= ALWAYS && forward == close && (backward == 0 || first == second) {
            Relation::AwaitedInTurn { traces: forward }
        } else {
            Relation::Unknown
        }
    }

    fn add_siblings(&mut self, trace: &Trace, parent: Identity, siblings: &[(SpanIndex, Interval)], all: &[Identity]) {
        // The last interval of each identity; those that run are among them, or their like is.
        let mut last: Vec<(Identity, Interval, SpanIndex)> = Vec::new();
        for (span, interval) in siblings {
            let identity = all[span.get()];
            let service = &trace.span(*span).service;
            for (before, earlier, other) in &last {
                // Times of two clocks prove nothing.
                if trace.span(*other).service == *service {
                    self.note(parent, (*before, identity), earlier.order(*interval));
                }
            }
            match last.iter().position(|(known, ..)| *known == identity) {
                // Of calls alike, the one that ends last says whether any still runs.
                Some(known) if last[known].1.end <= interval.end => last[known] = (identity, *interval, *span),
                Some(_) => {}
                None if last.len() < COMPARED => last.push((identity, *interval, *span)),
                None => self.dropped += 1,
            }
        }
    }

    fn note(&mut self, parent: Identity, (first, second): (Identity, Identity), order: Order) {
        let trace = self.traces;
        let Some(seen) = self.seen(Pair::new(parent, first, second)) else { return };
        let upward = first <= second;
        match order {
            Order::Overlap => {
                seen.overlapped.note(trace);
            }
            order => {
                let (count, close) = if upward {
                    (&mut seen.upward, &mut seen.upward_close)
                } else {
                    (&mut seen.downward, &mut seen.downward_close)
                };
                let is_close = order == Order::WithinHair;
                if count.note(trace) {
                    *close += u32::from(is_close);
                } else if !is_close && *close == count.traces {
                    // Once apart is not always.
                    *close -= 1;
                }
            }
        }
    }

    /// Returns what was seen of a pair, unless the limit is 0. Makes room if there is none.
    fn seen(&mut self, pair: Pair) -> Option<&mut Seen> {
        if self.limit == 0 {
            self.dropped += 1;
            return None;
        }
        if self.pairs.len() >= self.limit && !self.pairs.contains_key(&pair) {
            self.forget(batch(self.limit));
        }
        Some(self.pairs.entry(pair).or_default())
    }

    fn forget(&mut self, count: usize) {
        self.dropped += forget(&mut self.pairs, count, Seen::known).len() as u64;
    }
}

// === impl Pair ===

impl Pair {
    fn new(parent: Identity, first: Identity, second: Identity) -> Self {
        Self { parent, low: first.min(second), high: first.max(second) }
    }
}

// === impl Seen ===

impl Seen {
    fn known(&self) -> Known {
        let counts = [self.overlapped, self.upward, self.downward];
        let last = counts.map(|count| count.last).into_iter().max().unwrap_or_default();
        Known { again: counts.iter().any(|count| count.traces > 1), last }
    }

    fn merge(&mut self, other: &Self, offset: u64) {
        self.overlapped.merge(other.overlapped, offset);
        self.upward.merge(other.upward, offset);
        self.downward.merge(other.downward, offset);
        self.upward_close = self.upward_close.saturating_add(other.upward_close);
        self.downward_close = self.downward_close.saturating_add(other.downward_close);
    }
}

// === impl Count ===

impl Count {
    /// Counts a trace and returns `true`, unless it is counted already.
    fn note(&mut self, trace: u64) -> bool {
        let new = self.last != trace && self.traces < u32::MAX;
        if new {
            (self.traces, self.last) = (self.traces + 1, trace);
        }
        new
    }

    fn merge(&mut self, other: Self, offset: u64) {
        self.traces = self.traces.saturating_add(other.traces);
        if other.last > 0 {
            self.last = self.last.max(other.last + offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_another_one_each_time() {
        let pair = Pair::new(Identity::default(), Identity::default(), Identity::default());
        assert_ne!(secret().hash_one(pair), secret().hash_one(pair));
    }
}
