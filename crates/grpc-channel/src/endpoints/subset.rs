//! Which endpoints are connected to if there are more than need be (gRFC A68: random subsetting).

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    num::NonZeroUsize,
};

/// Chooses a number of addresses at random, different ones for each channel.
///
/// A channel has all addresses in an order of its own, by a hash with a random key, and takes the first. So an address that
/// comes or goes changes no more than one of those that are chosen.
#[derive(Debug)]
pub(crate) struct Subset {
    /// `None` for all.
    size: Option<NonZeroUsize>,
    order: RandomState,
}

// === impl Subset ===

impl Subset {
    pub(crate) fn new(size: Option<NonZeroUsize>) -> Self {
        Self { size, order: RandomState::new() }
    }

    /// Removes all addresses but those that are chosen, and returns the others.
    pub(crate) fn choose<T>(&self, addresses: &mut BTreeMap<SocketAddr, T>) -> BTreeMap<SocketAddr, T> {
        let size = self.size.map(NonZeroUsize::get).filter(|size| *size < addresses.len());
        let Some(size) = size else { return BTreeMap::new() };
        let mut order: Vec<_> = addresses.keys().map(|address| (self.order.hash_one(address), *address)).collect();
        let (_, first_left_out, _) = order.select_nth_unstable(size);
        let first_left_out = *first_left_out;
        addresses.extract_if(.., |address, _| (self.order.hash_one(*address), *address) >= first_left_out).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn address(number: u32) -> SocketAddr {
        (Ipv4Addr::from_bits(number), 1).into()
    }

    /// Returns what is chosen of the addresses with these numbers.
    fn chosen(subset: &Subset, numbers: impl Iterator<Item = u32>) -> BTreeSet<SocketAddr> {
        let mut addresses = numbers.map(|number| (address(number), ())).collect();
        subset.choose(&mut addresses);
        addresses.into_keys().collect()
    }

    fn of(size: usize) -> Subset {
        Subset::new(NonZeroUsize::new(size))
    }

    #[test]
    fn all_are_chosen_without_a_size() {
        assert_eq!(chosen(&Subset::new(None), 0..1_000).len(), 1_000);
    }

    #[test]
    fn many_channels_choose_each_address_about_equally_often() {
        let mut times = BTreeMap::<_, u32>::new();
        for _ in 0..2_000 {
            for address in chosen(&of(10), 0..100) {
                *times.entry(address).or_default() += 1;
            }
        }
        // 200 each, with a standard deviation of 13: a hundred of them are within seven times of that.
        assert_eq!(times.len(), 100);
        assert!(times.values().all(|times| times.abs_diff(200) < 7 * 13), "{times:?}");
    }

    proptest! {
        #[test]
        fn as_many_are_chosen_as_there_are_or_may_be(size in 1_usize..50, len in 0_u32..100) {
            prop_assert_eq!(chosen(&of(size), 0..len).len(), size.min(len as usize));
        }

        #[test]
        fn one_that_comes_or_goes_changes_no_more_than_one(size in 1_usize..50, len in 1_u32..100, gone in 0_u32..100) {
            let subset = of(size);
            let before = chosen(&subset, 0..len);
            let gone = gone % len;
            let after = chosen(&subset, (0..len).filter(|number| *number != gone));
            prop_assert!(before.difference(&after).all(|left| *left == address(gone)));
            prop_assert!(after.difference(&before).count() <= 1);
        }
    }
}
