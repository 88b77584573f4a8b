//! The latest traces, in memory, bounded by bytes.
//!
//! Traces are kept in the order in which their first span came, and the oldest go first. What is dropped is counted,
//! by reason. One lock guards all; it is held for a few hundred small steps at a time, and never while something is
//! decoded, analysed, hashed or freed.
//!
//! # Layout
//!
//! * [`trace`]: one trace: its chunks, and what listing needs.
//! * [`chunk`]: spans that came together; [`source`]: their resource and scope.
//! * [`filter`]: which traces a list shows.
//! * [`counts`]: what was received and dropped.

pub(crate) mod chunk;
pub(crate) mod counts;
pub(crate) mod filter;
pub(crate) mod source;
pub(crate) mod trace;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
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
    source::Sources,
    trace::{Brief, Snapshot, StoredTrace},
};
use crate::otlp::batch::{self, Batch};

/// How many spans a trace may have. Further ones are dropped: a program that never starts a new trace would otherwise
/// push out all others.
pub(crate) const MAX_TRACE_SPANS: usize = 200_000;

/// A trace may take this part of the memory at most.
const TRACE_SHARE: usize = 4;

/// How long nothing of a trace may come before it is taken to be whole.
pub(crate) const QUIET: Duration = Duration::from_secs(3);

/// How long to wait for the root of a trace that has none.
const QUIET_WITHOUT_ROOT: Duration = Duration::from_secs(15);

/// How many changed traces wait to be told to readers. The newest are told first; what is older than these is not.
const MAX_CHANGED: usize = 256;

/// How many chunks are added, or traces looked at, before other threads have a turn.
const TURN: usize = 256;

/// How many names of services, and of operations of each, are remembered.
const MAX_SERVICES: usize = 1_000;
const MAX_OPERATIONS: usize = 1_000;

/// The latest traces.
#[derive(Debug)]
pub(crate) struct Store {
    inner: Mutex<Inner>,
    sources: Sources,
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
    ripening: VecDeque<(Instant, u64)>,
    changed: BTreeSet<u64>,
    services: BTreeMap<Arc<str>, BTreeSet<String>>,
}

/// Traces that are whole, as far as one can tell.
#[derive(Debug, Default)]
pub(crate) struct Ripe {
    pub(crate) traces: Vec<Snapshot>,
    /// How many have made room before they were seen here.
    pub(crate) missed: u64,
    /// Whether there may be more.
    pub(crate) more: bool,
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
        Self { inner: Mutex::default(), sources: Sources::default(), hasher: RandomState::new(), max_bytes }
    }

    /// Decodes an encoded request for this store.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not a request.
    pub(crate) fn decode(&self, bytes: Bytes) -> Result<Batch, prost::DecodeError> {
        batch::decode(bytes, &self.sources, &self.hasher)
    }

    /// Adds spans. Returns how many did not fit in their trace.
    pub(crate) fn insert(&self, batch: Batch) -> u64 {
        let now = Instant::now();
        self.learn_names(&batch);
        self.inner.lock().counts.received(batch.spans, batch.rejected);
        let (mut chunks, mut too_many) = (batch.chunks.into_iter(), 0);
        loop {
            // Freed when the lock is not held.
            let mut evicted = Vec::new();
            let mut inner = self.inner.lock();
            let mut added = 0;
            for (id, chunk) in chunks.by_ref().take(TURN) {
                too_many += inner.add(id, chunk, self.max_bytes / TRACE_SHARE, now);
                added += 1;
            }
            while inner.bytes + self.sources.bytes() > self.max_bytes {
                let Some(trace) = inner.evict() else { break };
                evicted.push(trace);
            }
            drop(inner);
            if added < TURN {
                return too_many;
            }
        }
    }

    /// Remembers the names of services and operations that are new.
    fn learn_names(&self, batch: &Batch) {
        let mut inner = self.inner.lock();
        for (service, names) in &batch.names {
            if inner.services.len() >= MAX_SERVICES && !inner.services.contains_key(service) {
                continue;
            }
            let operations = inner.services.entry(Arc::clone(service)).or_default();
            for name in names {
                if operations.len() < MAX_OPERATIONS && !operations.contains(name) {
                    operations.insert(name.clone());
                }
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

    /// Returns the names of services, and of the operations of each.
    pub(crate) fn services(&self) -> BTreeMap<Arc<str>, BTreeSet<String>> {
        self.inner.lock().services.clone()
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
        for _ in 0..TURN {
            if inner.ripening.front().is_none_or(|(due, _)| *due > now) {
                return ripe;
            }
            if ripe.traces.len() >= max {
                break;
            }
            let Some((_, number)) = inner.ripening.pop_front() else { break };
            let Some(trace) = inner.get_mut(number) else {
                ripe.missed += 1;
                continue;
            };
            let quiet = if trace.has_root() { QUIET } else { QUIET_WITHOUT_ROOT };
            let due = trace.last_change + quiet;
            if due > now {
                inner.ripening.push_back((due, number));
            } else {
                ripe.traces.push(trace.snapshot());
            }
        }
        ripe.more = true;
        ripe
    }

    /// Returns the newest trace that has changed since it was last returned here.
    pub(crate) fn next_changed(&self) -> Option<Snapshot> {
        let mut inner = self.inner.lock();
        while let Some(number) = inner.changed.pop_last() {
            if let Some(trace) = inner.get(number) {
                return Some(trace.snapshot());
            }
        }
        None
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
            self.ripening.push_back((now + QUIET, number));
        }
        let trace = self.get_mut(number).expect("its number is in the index");
        if trace.spans() + chunk.heads().len() > MAX_TRACE_SPANS || trace.bytes() + chunk.size() > max_trace_bytes {
            let lost = chunk.heads().len() as u64;
            self.counts.drop_spans(Dropped::TraceTooLarge, lost);
            return lost;
        }
        let before = (trace.bytes(), trace.spans());
        let duplicates = trace.add(chunk, now);
        let after = (trace.bytes(), trace.spans());
        self.bytes += after.0 - before.0;
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
