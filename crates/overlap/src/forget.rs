//! Which entries of a map that is full make room for others.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

/// How well an entry is known. The smallest are forgotten first: those that one trace alone has shown, then the others,
/// each from the one that was not seen for longest. So names that are never seen again do not displace those that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Known {
    pub(crate) again: bool,
    /// The number of the last trace that has shown it.
    pub(crate) last: u64,
}

/// Returns how many entries of a full map are forgotten in one go: an eighth, because looking for them takes a walk through
/// all.
pub(crate) fn batch(limit: usize) -> usize {
    (limit / 8).max(1)
}

/// Removes so many entries, of those known equally well the smallest, and returns them.
pub(crate) fn forget<K, V, S>(map: &mut HashMap<K, V, S>, count: usize, known: impl Fn(&V) -> Known) -> Vec<V>
where
    K: Clone + Eq + Hash + Ord,
    S: BuildHasher,
{
    let mut keys: Vec<(Known, K)> = map.iter().map(|(key, value)| (known(value), key.clone())).collect();
    if count < keys.len() {
        keys.select_nth_unstable(count);
        keys.truncate(count);
    }
    keys.into_iter().filter_map(|(_, key)| map.remove(&key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_once_goes_first_and_then_the_oldest() {
        let known = |(again, last): &(bool, u64)| Known { again: *again, last: *last };
        let entries = [('a', (true, 1)), ('b', (false, 9)), ('c', (true, 7)), ('d', (false, 3)), ('e', (false, 3))];
        let left = |count| {
            let mut map = HashMap::from(entries);
            let forgotten = forget(&mut map, count, known).len();
            let mut left: Vec<_> = map.into_keys().collect();
            left.sort_unstable();
            (forgotten, String::from_iter(left))
        };
        for (count, expected) in [(0, "abcde"), (1, "abce"), (2, "abc"), (3, "ac"), (4, "c"), (5, ""), (6, "")] {
            assert_eq!(left(count), (count.min(5), expected.to_owned()));
        }
    }
}
