//! Spans of one trace that came with one request. They do not change.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::store::source::SharedSource;

/// What the allocator and the reference counts of a chunk take, about.
const OVERHEAD: usize = 112;

/// Spans of one trace that came with one request.
#[derive(Debug)]
pub(crate) struct Chunk {
    heads: Box<[Head]>,
    bytes: Box<[u8]>,
    /// How many attributes, events, links and parts of values the spans have: about as many allocations when decoded.
    items: u64,
}

/// What is read of a span without decoding it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Zero if it has none.
    pub(crate) parent: [u8; 8],
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Where its bytes begin, and how many there are.
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// A keyed hash of its bytes: equal for a span that came twice.
    pub(crate) identity: u64,
    pub(crate) error: bool,
    pub(crate) source: Arc<SharedSource>,
}

// === impl Chunk ===

impl Chunk {
    /// Copies what was collected. What grew piece by piece takes up to twice as much, and leaves gaps when it is cut.
    pub(crate) fn new(heads: &[Head], bytes: &[u8], items: u64) -> Self {
        Self { heads: heads.into(), bytes: bytes.into(), items }
    }

    /// Returns the spans of both.
    pub(crate) fn followed_by(&self, other: &Self) -> Self {
        let shift = u32::try_from(self.bytes.len()).expect("chunks that are merged are small");
        let moved = other.heads.iter().map(|head| Head { at: head.at + shift, ..head.clone() });
        let mut heads = Vec::with_capacity(self.heads.len() + other.heads.len());
        heads.extend(self.heads.iter().cloned().chain(moved));
        let bytes = [&*self.bytes, &*other.bytes].concat().into();
        Self { heads: heads.into(), bytes, items: self.items + other.items }
    }

    pub(crate) fn heads(&self) -> &[Head] {
        &self.heads
    }

    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    /// Returns the encoded span of a head.
    pub(crate) fn raw(&self, head: &Head) -> &[u8] {
        &self.bytes[head.at as usize..][..head.len as usize]
    }

    /// Returns the decoded span of a head.
    pub(crate) fn span(&self, head: &Head) -> Span {
        Span::decode(self.raw(head)).expect("it was decoded when it came")
    }

    /// Returns the span's name without decoding the rest.
    pub(crate) fn name(&self, head: &Head) -> String {
        #[derive(Clone, PartialEq, Message)]
        struct Name {
            #[prost(string, tag = "5")]
            name: String,
        }
        Name::decode(self.raw(head)).expect("it was decoded when it came").name
    }

    /// Returns how many bytes of memory it takes, about.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.heads) + self.bytes.len() + OVERHEAD
    }

    /// Returns the chunk without the spans for which `keep` is false.
    pub(crate) fn retain(self, mut keep: impl FnMut(&Head) -> bool) -> Self {
        let (mut heads, mut bytes) = (Vec::new(), Vec::new());
        for head in &self.heads {
            if keep(head) {
                let at = u32::try_from(bytes.len()).expect("a request has less than 4 GiB");
                bytes.extend_from_slice(self.raw(head));
                heads.push(Head { at, ..head.clone() });
            }
        }
        // As if all spans had as many: what comes twice is rare.
        let items = self.items * heads.len() as u64 / self.heads.len().max(1) as u64;
        Self::new(&heads, &bytes, items)
    }
}
