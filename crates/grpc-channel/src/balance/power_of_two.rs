//! Chooses the better of two at random: nearly as even as the best of all, at the price of two looks (Mitzenmacher, "The
//! Power of Two Choices in Randomized Load Balancing", 2001).

/// Up to how many positions all are looked at: random ones would often be the same.
const SCAN: usize = 4;

/// How many random looks there are for two candidates. If they find fewer, all positions are looked at: there are few
/// candidates, or none.
const LOOKS: usize = 8;

/// A candidate and what it carries.
type Candidate<L> = (usize, L);

/// Returns the position of the better of two random candidates among `len` positions; `None` if there is no candidate.
///
/// `load` is what a candidate carries, of which less is better; `None` if the one at this position is no candidate.
/// `random(n)` is any number below `n`.
pub(super) fn power_of_two<L: PartialOrd>(
    len: usize,
    load: impl Fn(usize) -> Option<L>,
    mut random: impl FnMut(usize) -> usize,
) -> Option<usize> {
    let candidate = |position| Some((position, load(position)?));
    let mut pair = [None, None];
    if len > SCAN {
        for _ in 0..LOOKS {
            match (&pair[0], candidate(random(len))) {
                (None, found) => pair[0] = found,
                (Some((first, _)), Some(found)) if *first != found.0 => {
                    pair[1] = Some(found);
                    return better(pair, random);
                }
                (Some(_), _) => {}
            }
        }
    }
    pair = [None, None];
    // Reservoir sampling: each pair is as likely as any other.
    for (seen, found) in (0..len).filter_map(candidate).enumerate() {
        let place = if seen < pair.len() { seen } else { random(seen + 1) };
        if let Some(place) = pair.get_mut(place) {
            *place = Some(found);
        }
    }
    better(pair, random)
}

/// Returns the position of the one that carries less; of equals, any.
fn better<L: PartialOrd>(pair: [Option<Candidate<L>>; 2], mut random: impl FnMut(usize) -> usize) -> Option<usize> {
    match pair {
        [Some((one, load)), Some((other, than))] => {
            let is_better = load < than || (load == than && random(2) == 0);
            Some(if is_better { one } else { other })
        }
        [one, other] => one.or(other).map(|(position, _)| position),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prop_assert, prop_assert_eq, proptest};
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    /// Returns how often each position is chosen.
    fn chosen(loads: &[Option<u32>], times: usize) -> Vec<usize> {
        let mut rng = StdRng::seed_from_u64(7);
        let mut chosen = vec![0; loads.len()];
        for _ in 0..times {
            let position = power_of_two(loads.len(), |position| loads[position], |n| rng.random_range(0..n));
            chosen[position.unwrap()] += 1;
        }
        chosen
    }

    #[test]
    fn equals_are_chosen_equally_often() {
        for loads in [&[Some(3); 2][..], &[Some(3); 3], &[Some(3); 10], &[Some(3); 100]] {
            let fair = 20_000 / loads.len();
            let chosen = chosen(loads, 20_000);
            assert!(chosen.iter().all(|times| times.abs_diff(fair) <= fair / 3), "{chosen:?}");
        }
    }

    #[test]
    fn the_worst_of_all_is_never_chosen() {
        for len in [2, 3, 5, 50] {
            let mut loads = vec![Some(1); len];
            loads[len - 1] = Some(2);
            assert_eq!(chosen(&loads, 5000)[len - 1], 0, "{len}");
        }
    }

    #[test]
    fn a_thousand_are_no_more_to_look_at_than_ten() {
        let mut rng = StdRng::seed_from_u64(7);
        for len in [10, 1_000] {
            let looks = std::cell::Cell::new(0);
            let load = |_| {
                looks.set(looks.get() + 1);
                Some(1)
            };
            for _ in 0..1_000 {
                power_of_two(len, load, |n| rng.random_range(0..n)).unwrap();
            }
            assert!((2_000..2_300).contains(&looks.get()), "{} looks for 1,000 calls to {len}", looks.get());
        }
    }

    proptest! {
        #[test]
        fn a_candidate_is_found_if_there_is_one(loads in vec(option::weighted(0.1, 0_u32..5), 0..100), seed: u64) {
            let mut rng = StdRng::seed_from_u64(seed);
            let found = power_of_two(loads.len(), |position| loads[position], |n| rng.random_range(0..n));
            prop_assert_eq!(found.is_some(), loads.iter().any(Option::is_some));
            prop_assert!(found.is_none_or(|position| loads[position].is_some()));
        }
    }
}
