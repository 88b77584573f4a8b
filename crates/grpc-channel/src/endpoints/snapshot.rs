//! What follows from the state of all endpoints, computed once after each change and not for each call.

use parking_lot::RwLock;

/// A value that was computed at a version of the endpoints.
#[derive(Debug, Default)]
pub(crate) struct Snapshot<T>(RwLock<Option<(u64, T)>>);

// === impl Snapshot ===

impl<T> Snapshot<T> {
    /// Reads the value of this version, and computes it first if it is of another one.
    ///
    /// A change while it is computed belongs to a later version: whoever reads then computes it again.
    pub(crate) fn read<R>(&self, version: u64, compute: impl FnOnce() -> T, read: impl FnOnce(&T) -> R) -> R {
        if let Some((of, value)) = &*self.0.read()
            && *of == version
        {
            return read(value);
        }
        let value = compute();
        let result = read(&value);
        let mut last = self.0.write();
        // Another thread may have been faster, and later.
        if last.as_ref().is_none_or(|(of, _)| *of < version) {
            *last = Some((version, value));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_value_is_computed_once_for_each_version() {
        let (snapshot, computed) = (Snapshot::default(), Cell::new(0));
        let read = |version| {
            let compute = || {
                computed.set(computed.get() + 1);
                version
            };
            snapshot.read(version, compute, |value| *value)
        };
        assert_eq!([read(0), read(0), read(0)], [0; 3]);
        assert_eq!(computed.get(), 1);
        assert_eq!([read(2), read(2)], [2; 2]);
        assert_eq!(computed.get(), 2);
        // One that is late has its own, and leaves the later one.
        assert_eq!((read(1), computed.get(), read(2), computed.get()), (1, 3, 2, 3));
    }
}
