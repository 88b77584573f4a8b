//! Sets of hashes.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

/// A set of keyed hashes, which need no further one.
pub(crate) type Identities = HashSet<u64, BuildHasherDefault<AsIs>>;

/// What an entry takes at most: a table is at least half of seven eighths full.
pub(crate) const SIZE: usize = 21;

/// Takes a number for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers of 64 bits are in these sets")
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
