//! One trace of the store.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::store::{
    chunk::{Chunk, Head},
    identities::{self, Identities},
    source::SharedSource,
};

/// Up to how many spans are compared one by one to find one that came twice. A larger trace has a set of hashes.
const FEW: usize = 32;

/// Up to how many spans, and bytes, chunks are merged: a trace whose spans come one by one would otherwise have as many.
const MERGED_SPANS: usize = 1_024;
const MERGED_BYTES: usize = 256 << 10;

/// What a trace takes in the store besides its chunks, at most: its place in the queue, which may be half empty while it
/// grows, its number in the index, when it is ripe, its brief, and the tables of its chunks, services and sources.
const ENTRY: usize = size_of::<StoredTrace>() * 3 / 2 + 56 + 40 + size_of::<Brief>() + 32 + 48 + 80 + 40;

/// One trace.
#[derive(Debug)]
pub(crate) struct StoredTrace {
    pub(crate) id: [u8; 16],
    pub(crate) number: u64,
    /// Rises with each change.
    pub(crate) version: u32,
    pub(crate) last_change: Instant,
    /// What the analysis of this version has shown, once it was analysed.
    pub(crate) brief: Option<Arc<Brief>>,
    chunks: Vec<Arc<Chunk>>,
    overview: Overview,
    identities: Option<Identities>,
    bytes: usize,
    items: u64,
    /// The addresses of its sources, which it keeps, and what they take. Others may have them too.
    sources: HashSet<usize>,
    shared: Shared,
}

/// What sources take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) bytes: usize,
    pub(crate) items: u64,
}

/// What is known of a trace without decoding it.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    pub(crate) spans: usize,
    pub(crate) errors: usize,
    /// When the first span starts and the last one ends, in nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The services in the order in which they came.
    pub(crate) services: Vec<Arc<str>>,
    /// The chunk and the place in it of the span without a parent, or else of the one that starts first.
    root: (usize, usize),
    has_root: bool,
}

/// What the analysis of a trace has shown, as far as lists show it.
#[derive(Clone, Debug)]
pub(crate) struct Brief {
    pub(crate) avoidable: Duration,
    pub(crate) saved: Duration,
    /// The certainty of the largest finding.
    pub(crate) certainty: &'static str,
    /// Whether it has one root, and the parent of each other span.
    pub(crate) complete: bool,
    /// From the first start to the last end, after the repairs.
    pub(crate) start: u64,
    pub(crate) duration: Duration,
    pub(crate) errors: usize,
}

/// A trace as it was at some time. Cheap: the spans are shared.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) version: u32,
    pub(crate) overview: Overview,
    pub(crate) brief: Option<Arc<Brief>>,
    chunks: Vec<Arc<Chunk>>,
}

// === impl StoredTrace ===

impl StoredTrace {
    pub(crate) fn new(id: [u8; 16], number: u64, now: Instant) -> Self {
        let overview = Overview {
            spans: 0,
            errors: 0,
            start: u64::MAX,
            end: 0,
            services: Vec::new(),
            root: (0, 0),
            has_root: false,
        };
        let (chunks, brief, identities) = (Vec::new(), None, None);
        let (sources, shared) = Default::default();
        let (bytes, items, version, last_change) = (ENTRY, 0, 0, now);
        Self { id, number, version, last_change, brief, chunks, overview, identities, bytes, items, sources, shared }
    }

    pub(crate) fn overview(&self) -> &Overview {
        &self.overview
    }

    pub(crate) fn spans(&self) -> usize {
        self.overview.spans
    }

    pub(crate) fn has_root(&self) -> bool {
        self.overview.has_root
    }

    /// Returns how many bytes of memory it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many bytes it would take with these spans, with its sources, and how many attributes, events, links and
    /// parts of values would be decoded with it.
    pub(crate) fn with(&self, chunk: &Chunk) -> (usize, u64) {
        let mut new = HashSet::new();
        let mut shared = self.shared;
        for source in sources(chunk) {
            if !self.sources.contains(&address(source)) && new.insert(address(source)) {
                shared.bytes += source.size;
                shared.items += source.items;
            }
        }
        (self.bytes + chunk.size() + shared.bytes, self.items + chunk.items() + shared.items)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            id: self.id,
            number: self.number,
            version: self.version,
            overview: self.overview.clone(),
            brief: self.brief.clone(),
            chunks: self.chunks.clone(),
        }
    }

    /// Adds spans, without those that it has. Returns how many those are.
    pub(crate) fn add(&mut self, chunk: Chunk, now: Instant) -> u64 {
        let count = chunk.heads().len();
        let chunk = self.without_duplicates(chunk);
        let duplicates = (count - chunk.heads().len()) as u64;
        if chunk.heads().is_empty() {
            return duplicates;
        }
        let at = self.chunks.len();
        for (index, head) in chunk.heads().iter().enumerate() {
            let earliest = head.start < self.overview.start;
            self.overview.add(head, at, index, earliest);
        }
        for source in sources(&chunk) {
            if self.sources.insert(address(source)) {
                self.bytes += identities::SIZE;
                self.shared.bytes += source.size;
                self.shared.items += source.items;
            }
        }
        self.bytes += chunk.size();
        self.items += chunk.items();
        self.chunks.push(Arc::new(chunk));
        self.merge_small();
        self.version += 1;
        self.brief = None;
        self.last_change = now;
        duplicates
    }

    /// Merges the last chunks while the last is as large as the one before: each span is copied a few times at most.
    fn merge_small(&mut self) {
        while let [.., before, last] = self.chunks.as_slice() {
            let spans = before.heads().len() + last.heads().len();
            let bytes = before.size() + last.size();
            if last.heads().len() < before.heads().len() || spans > MERGED_SPANS || bytes > MERGED_BYTES {
                return;
            }
            let (merged, shift) = (before.followed_by(last), before.heads().len());
            let at = self.chunks.len() - 2;
            if self.overview.root.0 == at + 1 {
                self.overview.root = (at, self.overview.root.1 + shift);
            }
            self.bytes = self.bytes - bytes + merged.size();
            self.chunks.truncate(at);
            self.chunks.push(Arc::new(merged));
        }
    }

    /// Removes spans that came before. A chunk has none twice.
    fn without_duplicates(&mut self, chunk: Chunk) -> Chunk {
        if self.overview.spans + chunk.heads().len() <= FEW && self.identities.is_none() {
            let known = |head: &Head| self.chunks.iter().any(|chunk| has(chunk.heads(), head));
            return if chunk.heads().iter().any(known) { chunk.retain(|head| !known(head)) } else { chunk };
        }
        let identities = self.identities.get_or_insert_with(|| {
            let heads = self.chunks.iter().flat_map(|chunk| chunk.heads());
            let identities: Identities = heads.map(|head| head.identity).collect();
            self.bytes += identities::SIZE * identities.len();
            identities
        });
        let before = identities.len();
        let kept: Vec<bool> = chunk.heads().iter().map(|head| identities.insert(head.identity)).collect();
        self.bytes += identities::SIZE * (identities.len() - before);
        if kept.iter().all(|kept| *kept) {
            return chunk;
        }
        let mut kept = kept.into_iter();
        chunk.retain(|_| kept.next().unwrap_or_default())
    }
}

/// Returns the sources of spans, without those that follow themselves.
fn sources(chunk: &Chunk) -> impl Iterator<Item = &Arc<SharedSource>> {
    let heads = chunk.heads();
    let is_new = |index: usize| index == 0 || !Arc::ptr_eq(&heads[index].source, &heads[index - 1].source);
    (0..heads.len()).filter(move |index| is_new(*index)).map(|index| &heads[index].source)
}

fn address(source: &Arc<SharedSource>) -> usize {
    Arc::as_ptr(source).addr()
}

fn has(heads: &[Head], wanted: &Head) -> bool {
    heads.iter().any(|head| head.identity == wanted.identity)
}

// === impl Overview ===

impl Overview {
    fn add(&mut self, head: &Head, chunk: usize, index: usize, earliest: bool) {
        self.spans += 1;
        self.errors += usize::from(head.error);
        let is_root = head.parent == [0; 8];
        if (is_root && !self.has_root) || (earliest && is_root == self.has_root) {
            self.root = (chunk, index);
        }
        self.has_root |= is_root;
        self.start = self.start.min(head.start);
        self.end = self.end.max(head.end).max(head.start);
        // A trace has few services.
        if self.services.len() < 64 && !self.services.contains(&head.source.service) {
            self.services.push(Arc::clone(&head.source.service));
        }
    }

    /// Returns how long the trace took, as its spans say.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Returns the spans' heads, each with the chunk that has its bytes, in the order in which they came.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (&Chunk, &Head)> {
        self.chunks.iter().flat_map(|chunk| chunk.heads().iter().map(move |head| (&**chunk, head)))
    }

    /// Returns the service and the name of the root.
    pub(crate) fn root(&self) -> (Arc<str>, String) {
        let (chunk, index) = self.overview.root;
        let head = self.chunks.get(chunk).and_then(|chunk| chunk.heads().get(index));
        head.map_or_else(
            || ("".into(), String::new()),
            |head| (Arc::clone(&head.source.service), self.chunks[chunk].name(head)),
        )
    }
}
