//! The names of services and of their operations, for the filters of lists. The latest are remembered, within bounds.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use parking_lot::Mutex;

/// How many services are remembered, and how many operations of each.
const MAX_SERVICES: usize = 1_000;
const MAX_OPERATIONS: usize = 1_000;

/// How many bytes all names may take, each with what is kept beside it.
const MAX_BYTES: usize = 4 << 20;
const OVERHEAD: usize = 64;

/// Which part is forgotten where there is no more room: the names that have not been seen for longest.
const PART: usize = 8;

/// The names of services, and of the operations of each.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    services: HashMap<Arc<str>, Service>,
    bytes: usize,
    /// Rises with each batch.
    now: u64,
}

#[derive(Debug, Default)]
struct Service {
    /// When each was last seen.
    operations: HashMap<Arc<str>, u64>,
    seen: u64,
}

// === impl Names ===

impl Names {
    /// Remembers the names of a batch.
    pub(crate) fn learn(&self, batch: &BTreeMap<Arc<str>, HashSet<String>>) {
        let mut inner = self.0.lock();
        inner.now += 1;
        for (service, names) in batch {
            inner.learn(service, names);
        }
    }

    /// Returns the names of services, and of the operations of each, sorted.
    pub(crate) fn snapshot(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let inner = self.0.lock();
        let names = |service: &Service| service.operations.keys().cloned().collect();
        let mut services: Vec<(Arc<str>, Vec<Arc<str>>)> =
            inner.services.iter().map(|(name, service)| (Arc::clone(name), names(service))).collect();
        drop(inner);
        services.sort();
        for (_, operations) in &mut services {
            operations.sort();
        }
        services
    }
}

// === impl Inner ===

impl Inner {
    fn learn(&mut self, name: &Arc<str>, names: &HashSet<String>) {
        if !self.services.contains_key(name) {
            if self.services.len() >= MAX_SERVICES {
                self.forget_services();
            }
            self.bytes += size(name);
            self.services.insert(Arc::clone(name), Service::default());
        }
        let now = self.now;
        let Some(service) = self.services.get_mut(name) else { return };
        service.seen = now;
        for operation in names {
            if let Some(seen) = service.operations.get_mut(operation.as_str()) {
                *seen = now;
                continue;
            }
            if service.operations.len() >= MAX_OPERATIONS {
                self.bytes -=
                    forget(&mut service.operations, |seen| *seen).iter().map(|(name, _)| size(name)).sum::<usize>();
            }
            self.bytes += size(operation);
            service.operations.insert(operation.as_str().into(), now);
        }
        while self.bytes > MAX_BYTES && self.services.len() > 1 {
            self.forget_services();
        }
    }

    fn forget_services(&mut self) {
        for (name, service) in forget(&mut self.services, |service| service.seen) {
            self.bytes -= size(&name) + service.operations.keys().map(|name| size(name)).sum::<usize>();
        }
    }
}

fn size(name: &str) -> usize {
    name.len() + OVERHEAD
}

/// Removes those that have not been seen for longest: a part, and at least one. Returns them.
fn forget<V>(names: &mut HashMap<Arc<str>, V>, seen: impl Fn(&V) -> u64) -> Vec<(Arc<str>, V)>
where
    Arc<str>: Hash,
{
    let mut by_age: Vec<(u64, Arc<str>)> = names.iter().map(|(name, value)| (seen(value), Arc::clone(name))).collect();
    let count = (by_age.len() / PART).max(1).min(by_age.len());
    by_age.sort_unstable();
    by_age.truncate(count);
    by_age.into_iter().filter_map(|(_, name)| names.remove_entry(&name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(service: &str, names: impl IntoIterator<Item = String>) -> BTreeMap<Arc<str>, HashSet<String>> {
        [(service.into(), names.into_iter().collect())].into()
    }

    #[test]
    fn new_operations_are_remembered_and_old_ones_forgotten() {
        let names = Names::default();
        for number in 0..3_000 {
            names.learn(&batch("shop", [format!("operation {number}"), "checkout".to_owned()]));
        }
        let services = names.snapshot();
        let [(_, operations)] = services.as_slice() else { panic!("{services:?}") };
        let has = |name: &str| operations.iter().any(|operation| **operation == *name);
        assert!(has("operation 2999") && has("checkout"), "the new one, and one that goes on");
        assert!(!has("operation 0") && operations.len() <= MAX_OPERATIONS);
    }

    #[test]
    fn all_together_take_so_many_bytes() {
        let names = Names::default();
        for service in 0..100 {
            let operations = (0..500).map(|number| format!("{number:0>200}"));
            names.learn(&batch(&format!("service {service}"), operations));
        }
        let services = names.snapshot();
        assert!(services.iter().any(|(name, _)| **name == *"service 99"));
        let bytes = services.iter().map(|(name, of)| size(name) + of.iter().map(|name| size(name)).sum::<usize>());
        assert!((1..=MAX_BYTES).contains(&bytes.sum()));
    }
}
