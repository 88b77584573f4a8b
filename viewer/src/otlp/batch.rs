//! A request's bytes as chunks of spans, one for each trace.
//!
//! Only what the store needs is read here. Each span's bytes are kept as they came, so that nothing is lost and nothing
//! is held in a form larger than the wire's.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{common::v1::InstrumentationScope, resource::v1::Resource, trace::v1::Span};
use prost::{DecodeError, Message as _};

use crate::{
    otlp::{
        fields::{Field, Fields},
        limits::{MAX_MESSAGES, Message, items_of, items_of_source},
    },
    store::{
        chunk::{Chunk, Head},
        identities::Identities,
        source::{SharedSource, Source, Sources, service_name},
    },
};

/// How many names of a request's spans are remembered, and how long they may be.
const MAX_NAMES: usize = 10_000;
pub(crate) const MAX_NAME: usize = 256;

/// How many bytes the name of a service may have. All its spans are shown with it, and compared by it.
const MAX_SERVICE: usize = 1 << 10;

/// Why bytes are not a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    #[error(transparent)]
    Broken(#[from] DecodeError),
    #[error("it has more than {MAX_MESSAGES} resources, scopes and spans")]
    TooMany,
}

/// The spans of a request.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// In the order in which their traces first appear.
    pub(crate) chunks: Vec<([u8; 16], Chunk)>,
    /// How many spans are in the chunks.
    pub(crate) spans: u64,
    /// How many further ones came twice in it, byte for byte.
    pub(crate) duplicates: u64,
    /// How many spans have no valid id, or take too much.
    pub(crate) rejected: u64,
    /// Why, of the first of them.
    pub(crate) reason: Option<String>,
    /// The spans' names, by service, as far as they are remembered.
    pub(crate) names: BTreeMap<Arc<str>, HashSet<String>>,
}

/// What is collected while a request is read.
struct Reader<'s> {
    sources: &'s Sources,
    hasher: &'s RandomState,
    batch: Batch,
    index: HashMap<[u8; 16], usize>,
    traces: Vec<Collected>,
    identities: Identities,
    /// How many more messages there may be, and names.
    messages_left: usize,
    names_left: usize,
}

/// The spans of a trace.
struct Collected {
    id: [u8; 16],
    heads: Vec<Head>,
    bytes: Vec<u8>,
    items: u64,
}

/// The parts of `ResourceSpans` or `ScopeSpans` that all spans in it share.
#[derive(Default)]
struct Shared {
    /// The resource or the scope.
    bytes: Bytes,
    schema_url: String,
    /// Why the spans in it are rejected, if they are.
    excess: Option<String>,
}

/// Decodes a request's bytes. `hasher` is the same for all batches of a store.
///
/// # Errors
///
/// Returns an error if the bytes are not a request, one of its spans is not a span, or it has too many.
pub(crate) fn decode(bytes: Bytes, sources: &Sources, hasher: &RandomState) -> Result<Batch, BatchError> {
    let mut reader = Reader {
        sources,
        hasher,
        batch: Batch::default(),
        index: HashMap::new(),
        traces: Vec::new(),
        identities: Identities::default(),
        messages_left: MAX_MESSAGES,
        names_left: MAX_NAMES,
    };
    for field in Fields::new(bytes, 1) {
        if let Field { number: 1, bytes: Some(bytes) } = field? {
            reader.resource_spans(&bytes)?;
        }
    }
    let Reader { mut batch, traces, .. } = reader;
    batch.chunks = traces.into_iter().map(|of| (of.id, Chunk::new(&of.heads, &of.bytes, of.items))).collect();
    Ok(batch)
}

// === impl Reader ===

impl Reader<'_> {
    fn resource_spans(&mut self, bytes: &Bytes) -> Result<(), BatchError> {
        self.message()?;
        let mut shared = Shared::read(bytes, Message::Resource)?;
        let resource =
            if shared.excess.is_none() { Resource::decode(shared.bytes.clone())? } else { Resource::default() };
        let name = service_name(&resource).len();
        if name > MAX_SERVICE {
            shared.excess = Some(format!("the name of its service has {name} bytes (limit {MAX_SERVICE})"));
        }
        for field in Fields::new(bytes.clone(), 3) {
            if let Field { number: 2, bytes: Some(bytes) } = field? {
                self.scope_spans(&bytes, &shared, &resource)?;
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, bytes: &Bytes, of: &Shared, resource: &Resource) -> Result<(), BatchError> {
        self.message()?;
        let own = Shared::read(bytes, Message::Scope)?;
        let scope = if own.excess.is_none() {
            InstrumentationScope::decode(own.bytes.clone())?
        } else {
            InstrumentationScope::default()
        };
        let excess = of.excess.as_ref().or(own.excess.as_ref());
        let mut source = None;
        for field in Fields::new(bytes.clone(), 3) {
            let Field { number: 2, bytes: Some(span) } = field? else { continue };
            self.message()?;
            if let Some(reason) = excess {
                self.reject(|| format!("the resource or the scope of a span: {reason}"));
                continue;
            }
            // Not before there is a span: it is kept.
            let source = source.get_or_insert_with(|| {
                let source = Source::new(&of.bytes, &of.schema_url, &own.bytes, &own.schema_url);
                self.sources.intern(&source, resource, items_of_source(resource, &scope))
            });
            let source = Arc::clone(source);
            self.span(&span, source)?;
        }
        Ok(())
    }

    fn span(&mut self, raw: &Bytes, source: Arc<SharedSource>) -> Result<(), BatchError> {
        if let Some(reason) = Message::Span.excess(raw)? {
            self.reject(|| format!("a span: {reason}"));
            return Ok(());
        }
        let span = Span::decode(raw.clone())?;
        let trace_id = match trace_id(&span) {
            Ok(id) => id,
            Err(reason) => {
                self.reject(|| reason);
                return Ok(());
            }
        };
        let identity = self.hasher.hash_one(&**raw);
        if !self.identities.insert(identity) {
            self.batch.duplicates += 1;
            return Ok(());
        }
        let items = items_of(&span);
        self.name(&source.service, span.name);
        let at = *self.index.entry(trace_id).or_insert_with(|| {
            self.traces.push(Collected { id: trace_id, heads: Vec::new(), bytes: Vec::new(), items: 0 });
            self.traces.len() - 1
        });
        let Collected { heads, bytes, items: all, .. } = &mut self.traces[at];
        *all += items;
        heads.push(Head {
            parent: span.parent_span_id.as_slice().try_into().unwrap_or_default(),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            at: u32::try_from(bytes.len()).expect("a request has less than 4 GiB"),
            len: u32::try_from(raw.len()).expect("a request has less than 4 GiB"),
            identity,
            error: span.status.as_ref().is_some_and(|status| status.code == 2),
            source,
        });
        bytes.extend_from_slice(raw);
        self.batch.spans += 1;
        Ok(())
    }

    fn name(&mut self, service: &Arc<str>, name: String) {
        if self.names_left == 0 || service.len() > MAX_NAME || name.len() > MAX_NAME {
            return;
        }
        let names = self.batch.names.entry(Arc::clone(service)).or_default();
        if !names.contains(&name) {
            names.insert(name);
            self.names_left -= 1;
        }
    }

    /// Counts a message.
    fn message(&mut self) -> Result<(), BatchError> {
        self.messages_left = self.messages_left.checked_sub(1).ok_or(BatchError::TooMany)?;
        Ok(())
    }

    /// Counts a span that is not kept.
    fn reject(&mut self, reason: impl FnOnce() -> String) {
        self.batch.rejected += 1;
        self.batch.reason.get_or_insert_with(reason);
    }
}

// === impl Shared ===

impl Shared {
    fn read(bytes: &Bytes, message: Message) -> Result<Self, DecodeError> {
        let mut shared = Self::default();
        for field in Fields::new(bytes.clone(), 3) {
            match field? {
                Field { number: 1, bytes: Some(bytes) } => shared.bytes = bytes,
                Field { number: 3, bytes: Some(url) } => shared.schema_url = String::from_utf8_lossy(&url).into_owned(),
                _ => {}
            }
        }
        shared.excess = message.excess(&shared.bytes)?;
        Ok(shared)
    }
}

/// Returns the id of the trace, if all ids of the span are valid.
fn trace_id(span: &Span) -> Result<[u8; 16], String> {
    let trace_id: [u8; 16] = span.trace_id.as_slice().try_into().unwrap_or_default();
    let span_id: [u8; 8] = span.span_id.as_slice().try_into().unwrap_or_default();
    let name = || span.name.chars().take(100).collect::<String>();
    if trace_id == [0; 16] {
        return Err(format!("span '{}': trace_id has {} bytes or is zero: expected 16", name(), span.trace_id.len()));
    }
    if span_id == [0; 8] {
        return Err(format!("span '{}': span_id has {} bytes or is zero: expected 8", name(), span.span_id.len()));
    }
    if !matches!(span.parent_span_id.len(), 0 | 8) {
        let len = span.parent_span_id.len();
        return Err(format!("span '{}': parent_span_id has {len} bytes: expected 8 or none", name()));
    }
    Ok(trace_id)
}
