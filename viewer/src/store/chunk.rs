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
    pub(crate) fn new(heads: Vec<Head>, bytes: Vec<u8>) -> Self {
        Self { heads: heads.into(), bytes: bytes.into() }
    }

    pub(crate) fn heads(&self) -> &[Head] {
        &self.heads
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
        Self::new(heads, bytes)
    }
}
