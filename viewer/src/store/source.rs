//! Where spans come from: their resource and scope, which many spans share.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{common::v1::any_value::Value, resource::v1::Resource};
use parking_lot::Mutex;

/// What spans of no known service are said to be of.
pub(crate) const UNKNOWN_SERVICE: &str = "unknown_service";

/// The resource and the scope of spans, encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) resource: Bytes,
    pub(crate) resource_schema_url: Arc<str>,
    pub(crate) scope: Bytes,
    pub(crate) scope_schema_url: Arc<str>,
}

/// A source that is in use, with the name of its service.
#[derive(Debug)]
pub(crate) struct SharedSource {
    pub(crate) source: Source,
    pub(crate) service: Arc<str>,
    /// How many bytes of memory it takes, about.
    pub(crate) size: usize,
    /// How many attributes and parts of values it has.
    pub(crate) items: u64,
    bytes: Arc<AtomicUsize>,
}

/// The sources that are in use, each once.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    shared: Mutex<Interned>,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Interned {
    sources: HashMap<u64, Vec<Weak<SharedSource>>>,
    services: HashSet<Arc<str>>,
    /// At how many entries those that are not in use are removed.
    sweep_at: usize,
}

// === impl Source ===

impl Source {
    pub(crate) fn new(resource: &Bytes, resource_schema_url: &str, scope: &Bytes, scope_schema_url: &str) -> Self {
        Self {
            resource: resource.clone(),
            resource_schema_url: resource_schema_url.into(),
            scope: scope.clone(),
            scope_schema_url: scope_schema_url.into(),
        }
    }

    /// Copies the bytes: they are slices of a request, which would be kept whole.
    fn detached(&self) -> Self {
        Self {
            resource: Bytes::copy_from_slice(&self.resource),
            scope: Bytes::copy_from_slice(&self.scope),
            ..self.clone()
        }
    }
}

// === impl SharedSource ===

impl Drop for SharedSource {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

// === impl Sources ===

impl Sources {
    /// Returns how many bytes all sources in use take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the source that is equal to this one. `resource` is its resource, decoded, and `items` how many attributes
    /// and parts of values it has.
    pub(crate) fn intern(&self, source: &Source, resource: &Resource, items: u64) -> Arc<SharedSource> {
        let mut hasher = std::hash::DefaultHasher::new();
        source.hash(&mut hasher);
        let hash = hasher.finish();
        let mut interned = self.shared.lock();
        let same = interned
            .sources
            .get(&hash)
            .and_then(|entries| entries.iter().filter_map(Weak::upgrade).find(|shared| shared.source == *source));
        if let Some(shared) = same {
            return shared;
        }
        let service = interned.service(service_name(resource));
        let size = source.resource.len()
            + service.len()
            + source.scope.len()
            + source.resource_schema_url.len()
            + source.scope_schema_url.len()
            + size_of::<SharedSource>()
            + 192;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let bytes = Arc::clone(&self.bytes);
        let shared = Arc::new(SharedSource { source: source.detached(), service, size, items, bytes });
        interned.sources.entry(hash).or_default().push(Arc::downgrade(&shared));
        interned.sweep();
        shared
    }
}

// === impl Interned ===

impl Interned {
    fn service(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.services.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.services.insert(Arc::clone(&name));
        name
    }

    /// Removes what is not in use, once for each doubling.
    fn sweep(&mut self) {
        if self.sources.len() + self.services.len() < self.sweep_at.max(1024) {
            return;
        }
        self.sources.retain(|_, entries| {
            entries.retain(|entry| entry.strong_count() > 0);
            !entries.is_empty()
        });
        self.services.retain(|name| Arc::strong_count(name) > 1);
        self.sweep_at = 2 * (self.sources.len() + self.services.len());
    }
}

/// Returns the name of the service that a resource is of.
pub(crate) fn service_name(resource: &Resource) -> &str {
    let attribute = resource.attributes.iter().find(|attribute| attribute.key == "service.name");
    match attribute.and_then(|attribute| attribute.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(name)) if !name.is_empty() => name,
        _ => UNKNOWN_SERVICE,
    }
}
