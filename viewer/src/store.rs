//! The latest traces, in memory, bounded by bytes.
//!
//! Traces are kept in the order in which their first span came, and the oldest go first. What is dropped is counted,
//! by reason. One lock guards all; it is held for a few hundred small steps at a time, and never while something is
//! decoded, analysed or freed.
//!
//! # Layout
//!
//! * [`trace`]: one trace: its chunks, and what listing needs.
//! * [`chunk`]: spans that came together; [`source`]: their resource and scope.
//! * [`filter`]: which traces a list shows.
//! * [`counts`]: what was received and dropped. [`names`]: services and their operations. [`identities`]: sets of
//!   hashes.

pub(crate) mod chunk;
pub(crate) mod counts;
pub(crate) mod filter;
pub(crate) mod identities;
mod names;
pub(crate) mod source;
pub(crate) mod trace;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::RandomState,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::{
    chunk::Chunk,
    counts::{Counts, Dropped},
    names::Names,
    source::Sources,
    trace::{Brief, Snapshot, StoredTrace},
};
use crate::otlp::{
    batch::{self, Batch, BatchError},
    limits::MAX_TRACE_ITEMS,
};

/// How many spans a trace may have. Further ones are dropped: a program that never starts a new trace would otherwise
/// push out all others.
pub(crate) const MAX_TRACE_SPANS: usize = 200_000;

/// A trace may take this part of the memory at most.
const TRACE_SHARE: usize = 4;

/// How long nothing of a trace may come before it is taken to be whole. Programs send what they have every five seconds,
/// unless told otherwise.
pub(crate) const QUIET: Duration = Duration::from_secs(6);

/// The same for a trace that lacks its root, or the parent of a span: something has yet to come, or never will.
const QUIET_INCOMPLETE: Duration = Duration::from_secs(15);

/// How much earlier than that traces are looked at while they come so fast that they make room within twice that time.
const HURRY: Duration = Duration::from_secs(4);

/// How many changed traces wait to be told to readers. The newest are told first; what is older than these is not.
const MAX_CHANGED: usize = 256;

/// How many chunks are added, or traces looked at, before other threads have a turn.
const TURN: usize = 256;

/// The latest traces.
#[derive(Debug)]
pub(crate) struct Store {
    inner: Mutex<Inner>,
    sources: Sources,
    names: Names,
    hasher: RandomState,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// By their number: the first is `first`.
    traces: VecDeque<StoredTrace>,
    first: u64,
    numbers: HashMap<[u8; 16], u64>,
    bytes: usize,
    spans: u64,
    counts: Counts,
    /// Traces that may be whole at the given time.
    ripening: BTreeSet<(Instant, u64)>,
    changed: BTreeSet<u64>,
}

/// Traces that are whole, as far as one can tell.
#[derive(Debug, Default)]
pub(crate) struct Ripe {
    pub(crate) traces: Vec<RipeTrace>,
    /// How many have made room before they were seen here.
    pub(crate) missed: u64,
    /// Whether there may be more.
    pub(crate) more: bool,
}

/// A trace that is whole, as far as one can tell.
#[derive(Debug)]
pub(crate) struct RipeTrace {
    pub(crate) snapshot: Snapshot,
    /// Whether it has been quiet for so long that nothing more is waited for.
    pub(crate) is_final: bool,
}

/// How full the store is, and what it has seen.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub(crate) spans: u64,
    pub(crate) traces: usize,
    pub(crate) bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) counts: Counts,
}

// === impl Store ===

impl Store {
    /// Creates a store that takes at most so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let (inner, sources, names) = Default::default();
        Self { inner, sources, names, hasher: RandomState::new(), max_bytes }
    }

    /// Decodes an encoded request for this store.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a request.
    pub(crate) fn decode(&self, bytes: Bytes) -> Result<Batch, BatchError> {
        batch::decode(bytes, &self.sources, &self.hasher)
    }

    /// Adds spans. Returns how many did not fit in their trace.
    pub(crate) fn insert(&self, batch: Batch) -> u64 {
        let now = Instant::now();
        self.names.learn(&batch.names);
        {
            let counts = &mut self.inner.lock().counts;
            counts.received(batch.spans + batch.duplicates, batch.rejected);
            counts.drop_spans(Dropped::Duplicate, batch.duplicates);
        }
        let (mut chunks, mut too_many) = (batch.chunks.into_iter(), 0);
        loop {
            let mut inner = self.inner.lock();
            let mut added = 0;
            for (id, chunk) in chunks.by_ref().take(TURN) {
                too_many += inner.add(id, chunk, self.max_bytes / TRACE_SHARE, now);
                added += 1;
            }
            drop(inner);
            self.make_room();
            if added < TURN {
                return too_many;
            }
        }
    }

    /// Removes the oldest traces until the others fit. Each is freed before the next: its sources go with it, which may
    /// be all that was too much. The lock is not held meanwhile.
    fn make_room(&self) {
        loop {
            let evicted = {
                let mut inner = self.inner.lock();
                if inner.bytes + self.sources.bytes() <= self.max_bytes { None } else { inner.evict() }
            };
            if evicted.is_none() {
                return;
            }
        }
    }

    /// Counts metrics or logs, which are not kept.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.inner.lock().counts);
    }

    /// Returns how full the store is.
    pub(crate) fn fill(&self) -> Fill {
        let inner = self.inner.lock();
        Fill {
            spans: inner.spans,
            traces: inner.traces.len(),
            bytes: inner.bytes + self.sources.bytes(),
            max_bytes: self.max_bytes,
            counts: inner.counts.clone(),
        }
    }

    /// Returns the names of services, and of the operations of each: the latest.
    pub(crate) fn services(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        self.names.snapshot()
    }

    /// Returns a trace.
    pub(crate) fn trace(&self, id: [u8; 16]) -> Option<Snapshot> {
        let inner = self.inner.lock();
        inner.get(*inner.numbers.get(&id)?).map(StoredTrace::snapshot)
    }

    /// Looks at traces from newest to oldest, those before the number `before`, until `found` says that it has enough.
    /// Those for which `matches` is true are handed to `found`. Returns the number of the last one that was looked
    /// at if there are more.
    pub(crate) fn scan(
        &self,
        before: Option<u64>,
        matches: impl Fn(&StoredTrace) -> bool,
        mut found: impl FnMut(Snapshot) -> bool,
    ) -> Option<u64> {
        let mut before = before.unwrap_or(u64::MAX);
        loop {
            let mut candidates = Vec::new();
            {
                let inner = self.inner.lock();
                let end = inner.first + inner.traces.len() as u64;
                let from = before.min(end);
                if from <= inner.first {
                    return None;
                }
                let to = from.saturating_sub(TURN as u64).max(inner.first);
                for number in (to..from).rev() {
                    before = number;
                    let Some(trace) = inner.get(number) else { continue };
                    if matches(trace) {
                        candidates.push(trace.snapshot());
                    }
                }
            }
            for snapshot in candidates {
                let number = snapshot.number;
                if found(snapshot) {
                    let more = number > self.inner.lock().first;
                    return more.then_some(number);
                }
            }
        }
    }

    /// Keeps what the analysis of a trace has shown, unless the trace has changed since.
    pub(crate) fn set_brief(&self, snapshot: &Snapshot, brief: &Arc<Brief>) {
        let mut inner = self.inner.lock();
        if let Some(trace) = inner.get_mut(snapshot.number)
            && trace.version == snapshot.version
        {
            trace.brief = Some(Arc::clone(brief));
        }
    }

    /// Returns traces that are whole, as far as one can tell: at most `max`, each once.
    pub(crate) fn ripe(&self, max: usize) -> Ripe {
        let now = Instant::now();
        let mut ripe = Ripe::default();
        let mut inner = self.inner.lock();
        let is_full = inner.bytes + self.sources.bytes() > self.max_bytes / 8 * 7;
        let live_short = inner.traces.front().is_some_and(|oldest| oldest.last_change + QUIET * 2 > now);
        // What is due until then is.
        let now = if is_full && live_short { now + HURRY } else { now };
        for _ in 0..TURN {
            let Some(&(due, number)) = inner.ripening.first() else { return ripe };
            if due > now {
                return ripe;
            }
            if ripe.traces.len() >= max {
                break;
            }
            inner.ripening.pop_first();
            let Some(trace) = inner.get(number) else {
                ripe.missed += 1;
                continue;
            };
            let due = trace.last_change + if trace.has_root() { QUIET } else { QUIET_INCOMPLETE };
            if due > now {
                inner.ripening.insert((due, number));
            } else {
                let is_final = trace.last_change + QUIET_INCOMPLETE <= now;
                ripe.traces.push(RipeTrace { snapshot: trace.snapshot(), is_final });
            }
        }
        ripe.more = true;
        ripe
    }

    /// Waits longer for a trace that turned out to be incomplete. Returns whether it is still there.
    pub(crate) fn ripen_later(&self, snapshot: &Snapshot) -> bool {
        let mut inner = self.inner.lock();
        let due = inner.get(snapshot.number).map(|trace| trace.last_change + QUIET_INCOMPLETE);
        due.is_some_and(|due| inner.ripening.insert((due, snapshot.number)))
    }

    /// Returns the newest trace that has changed since it was last returned here, of those that `wanted` is true for.
    pub(crate) fn next_changed(&self, wanted: impl Fn(&StoredTrace) -> bool) -> Option<Snapshot> {
        let mut inner = self.inner.lock();
        let first = inner.first;
        inner.changed.retain(|number| *number >= first);
        let next = inner.changed.iter().rev().find_map(|number| inner.get(*number).filter(|trace| wanted(trace)));
        let snapshot = next.map(StoredTrace::snapshot)?;
        inner.changed.remove(&snapshot.number);
        Some(snapshot)
    }

    /// Forgets which traces have changed: nobody reads.
    pub(crate) fn forget_changes(&self) {
        self.inner.lock().changed.clear();
    }
}

// === impl Inner ===

impl Inner {
    fn get(&self, number: u64) -> Option<&StoredTrace> {
        self.traces.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut StoredTrace> {
        self.traces.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Adds spans to a trace. Returns how many did not fit.
    fn add(&mut self, id: [u8; 16], chunk: Chunk, max_trace_bytes: usize, now: Instant) -> u64 {
        let next = self.first + self.traces.len() as u64;
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            let trace = StoredTrace::new(id, number, now);
            self.bytes += trace.bytes();
            self.traces.push_back(trace);
            self.ripening.insert((now + QUIET, number));
        }
        let trace = self.get_mut(number).expect("its number is in the index");
        let (bytes, items) = trace.with(&chunk);
        if trace.spans() + chunk.heads().len() > MAX_TRACE_SPANS || bytes > max_trace_bytes || items > MAX_TRACE_ITEMS {
            let lost = chunk.heads().len() as u64;
            self.counts.drop_spans(Dropped::TraceTooLarge, lost);
            return lost;
        }
        let before = (trace.bytes(), trace.spans());
        let duplicates = trace.add(chunk, now);
        let after = (trace.bytes(), trace.spans());
        // Less if its chunks were merged.
        self.bytes = self.bytes - before.0 + after.0;
        self.spans += (after.1 - before.1) as u64;
        self.counts.drop_spans(Dropped::Duplicate, duplicates);
        self.changed.insert(number);
        if self.changed.len() > MAX_CHANGED {
            self.changed.pop_first();
        }
        0
    }

    /// Removes the oldest trace.
    fn evict(&mut self) -> Option<StoredTrace> {
        let trace = self.traces.pop_front()?;
        self.first += 1;
        self.numbers.remove(&trace.id);
        self.bytes -= trace.bytes();
        self.spans -= trace.spans() as u64;
        self.counts.drop_trace(trace.spans() as u64);
        Some(trace)
    }
}
